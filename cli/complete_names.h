/* Candidates for the place of a value or an argument, by how the help calls it: "TENANT", "text|json". */
#ifndef CLI_COMPLETE_NAMES_H
#define CLI_COMPLETE_NAMES_H

#include "base/base.h"

struct complete_place {
    const char *state_dir;
    const char *of;     /* how the help calls it */
    const char *noun;   /* of the command, or "" */
    const char *tenant; /* that stands before it, or NULL */
    const char *prefix; /* what each candidate is printed behind: "--model=" */
    const char *begun;  /* what it has to begin with */
};

void complete_place(const struct complete_place *place);
/* One candidate, if it begins as it has to. note may be NULL. */
void complete_say(const char *prefix, const char *begun, const char *word, const char *note);

#endif
