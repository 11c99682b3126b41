/*
 * A file that is there whole or not at all. It has no name while it is written (or, where the file system cannot
 * do that, one of its own, which goes when the program does); what stood under its name is replaced in
 * one step, and only when that was asked for. Mode 0600.
 *
 * What is no file (a pipe, a device, standard output) is written to as it is.
 */
#ifndef CLI_OUTFILE_H
#define CLI_OUTFILE_H

#include "base/base.h"
#include "cli/cli.h"

struct outfile {
    int fd;          /* to write to */
    bool is_stream;  /* no file: nothing is named, kept or dropped */
    const char *noun, *path; /* the subcommand, for messages; "-" is standard output */
    bool force;
    int dir_fd;
    char name[256], temporary[64]; /* in the directory; temporary is "" while it has no name at all */
};

/* path and noun outlive it. Complains of what fails. */
enum cli_exit outfile_open(struct outfile *out, const char *noun, const char *path, bool force);
/* Syncs it and gives it its name. Complains; whatever comes of it, it is closed. */
enum cli_exit outfile_keep(struct outfile *out);
/* As if it had never been. */
void outfile_drop(struct outfile *out);

#endif
