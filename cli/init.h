/*
 * turnpike init: a first routes.conf, tenant and key, from a few options or questions.
 *
 * All is asked first, then all is made: the file under a name of its own, checked as `turnpike check`
 * does, then tenant and key, then the file gets its name. Whatever fails before the tenant is made leaves
 * nothing behind.
 */
#ifndef CLI_INIT_H
#define CLI_INIT_H

#include "base/base.h"
#include "base/buf.h"
#include "cli/table.h"

#define INIT_MAKERS_MAX 16
#define INIT_TEXT_MAX 512

/* A provider that init knows: where its sections stand in the files that are shipped. */
struct init_maker {
    const char *name, *alias; /* alias may be NULL */
    const char *title;
    const char *upstream; /* its upstreams' names are this, or begin with it and '-' */
    const char *key_env;  /* as the shipped file has it; NULL: it takes no key */
    const char *chapter;  /* of models.conf; NULL: its models stand in routes.conf and begin as upstream */
    const char *autos;    /* the models that "auto" chooses among, as a glob */
    const char *model;    /* to try it with: a cheap one */
};
extern const struct init_maker init_makers[]; /* ended by name NULL */

/* One that was chosen, and where its key comes from: one of the two is not empty, unless it takes none. */
struct init_source {
    const struct init_maker *maker;
    char key_env[INIT_TEXT_MAX];
    char key_file[INIT_TEXT_MAX]; /* absolute */
};

struct init_plan {
    struct init_source source[INIT_MAKERS_MAX];
    unsigned source_count;
    char conf_path[INIT_TEXT_MAX], state_dir[INIT_TEXT_MAX];
    char listen[INIT_TEXT_MAX];
    char tenant[INIT_TEXT_MAX]; /* empty: neither tenant nor key are made */
    char credit[INIT_TEXT_MAX]; /* likewise none */
    char admin[INIT_TEXT_MAX];  /* the address of the first administrator; empty: none is made */
};

enum cli_exit init_run(const struct cli_local *local);

/* ---- init_text.c ---- */

/* By name or alias, else NULL. */
const struct init_maker *init_maker_of(struct str name);
/* "openai, anthropic, …", for messages. */
const char *init_maker_names(void);
/* The file's text. Pure. */
void init_text(struct buf *out, const struct init_plan *plan);

/* ---- init_plan.c: each answers NULL, or why it cannot be; *hint is what to do, or NULL ---- */

const char *init_add_maker(struct init_plan *plan, struct str name, const char **hint);
const char *init_set_env(struct init_source *source, struct str name, const char **hint);
const char *init_set_file(struct init_source *source, struct str path, const char **hint);
const char *init_set_listen(struct init_plan *plan, struct str address, const char **hint);
const char *init_set_tenant(struct init_plan *plan, struct str name, const char **hint);
const char *init_set_admin(struct init_plan *plan, struct str email, const char **hint);
const char *init_set_credit(struct init_plan *plan, struct str amount, const char **hint);

/* ---- init_ask.c ---- */

/* Fills what the options left open by asking on the terminal. CLI_DONE, or it was said why not. */
enum cli_exit init_ask(struct init_plan *plan, bool ask_state);

#endif
