/* What `turnpike init` has made, and what to do next. */
#ifndef CLI_INIT_SHOW_H
#define CLI_INIT_SHOW_H

#include "base/js.h"
#include "cli/init.h"

struct init_made {
    bool json;
    bool server_runs;
    size_t model_count;
    char tenant_id[32];
    char key[128]; /* the secret: wipe it */
    char setup[64]; /* what sets the administrator's password: likewise */
};

void init_show_made(const struct init_plan *plan, const struct init_made *made);
/* Says a refusal of the ledger's, and gives its exit status. */
enum cli_exit init_show_refusal(struct js_value answer);

#endif
