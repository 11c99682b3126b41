/* Files as they are shipped, within the program: routes.conf and models.conf, from which `init` writes, and what
 * shells read for completions. */
#ifndef CLI_SHIPPED_H
#define CLI_SHIPPED_H

#include "base/base.h"

struct str shipped_routes(void);
struct str shipped_models(void);
struct str shipped_completion(const char *shell); /* "bash", "zsh", "fish" */
/*
 * The next section `KIND "NAME" { … }` of the text whose name is `name`, or begins with it and a '-': its
 * lines without the last newline, and *text moves behind it. STR_NONE when there is no more.
 */
struct str shipped_section(struct str *text, const char *kind, const char *name);
/* What stands in models.conf under the heading that begins with `heading`, comments and all. */
struct str shipped_chapter(const char *heading);

#endif
