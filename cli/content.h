/* What a file holds, as the value of an option; and a long text of an answer, for people. */
#ifndef CLI_CONTENT_H
#define CLI_CONTENT_H

#include "base/base.h"
#include "base/js.h"
#include "base/jw.h"
#include "cli/cli.h"

/* Writes the text of the file ("-": standard input), which is at most a megabyte of UTF-8, as a JSON string. */
enum cli_exit content_write(const char *path, struct jw *jw);
/* Prints the string with its lines, and nothing in it that would move the cursor. A newline is at its end. */
void content_print(struct js_value text);

#endif
