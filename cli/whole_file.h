/* Writes files that others may be reading: whole, or not at all. */
#ifndef CLI_WHOLE_FILE_H
#define CLI_WHOLE_FILE_H

#include "base/base.h"

/* Puts the text in the place of what may stand there, on the disk. 0, or a negative errno: then that stays. */
int whole_file_write(const char *path, struct str text) MUST_CHECK;

#endif
