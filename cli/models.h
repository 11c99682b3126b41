/*
 * The models of routes.conf and what they cost: `turnpike models`; and other people's price lists
 * made into the form of models.conf: `turnpike models import`. Both work on files alone, with or
 * without a server.
 */
#ifndef CLI_MODELS_H
#define CLI_MODELS_H

#include "cli/cli.h"

struct models_show {
    const char *conf_path; /* NULL: as serve finds it */
    const char *family;    /* only of this one; NULL: all */
    const char *channel;   /* only what it serves, and only its prices; NULL: all */
    bool json;
};
enum cli_exit models_show(const struct models_show *show);

struct models_read {
    const char *path;
    const char *format; /* "litellm", "openrouter"; NULL: by the look of the file */
    const char *maker;  /* only this one's; NULL: all */
    const char *out;    /* where to write the text; NULL: standard output */
    bool json;
};
enum cli_exit models_read(const struct models_read *read);

#endif
