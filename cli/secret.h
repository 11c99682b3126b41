/* Secrets that a command is told by the name of a variable or of a file, never as a word of the command line. */
#ifndef CLI_SECRET_H
#define CLI_SECRET_H

#include "base/base.h"

/*
 * Whether a file is fit to hold one: regular, not empty, closed to others, as ssh and routes.conf's key-file have
 * it. NULL, or why not; *hint then says what to do, and lives until the next call.
 */
const char *secret_file_fault(int fd, const char *path, const char **hint);
/*
 * Reads the one of the variable or file that is not NULL (at most one is), without the newline at its end.
 * NULL, or why not, and *hint. The caller wipes out.
 */
const char *secret_read(const char *env, const char *file, char *out, size_t cap, const char **hint);

#endif
