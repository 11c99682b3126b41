/* What `turnpike serve` and `turnpike check` were asked: the command line, nothing else. */
#ifndef MASTER_OPTIONS_H
#define MASTER_OPTIONS_H

#include <sys/types.h>

#include "base/base.h"
#include "cli/cli.h"
#include "ledger/ledger.h"
#include "worker/worker.h"

#define OPTIONS_LISTEN_MAX 16
#define OPTIONS_CERT_MAX 16
#define OPTIONS_WORKERS_MAX 32

struct options_listen {
    const char *address; /* as written */
    enum worker_listener_kind kind;
    int passed_fd; /* it listens already; -1: to be bound */
};

struct options {
    const char *conf_path;
    const char *state_dir;
    struct options_listen listen[OPTIONS_LISTEN_MAX];
    unsigned listen_count;
    const char *cert_path[OPTIONS_CERT_MAX], *cert_key_path[OPTIONS_CERT_MAX];
    unsigned cert_count, cert_key_count;
    unsigned worker_count; /* resolved: at least 1 */
    enum worker_durability durability;
    enum ledger_unresolved unresolved; /* of mode reserve, after a power cut */
    unsigned hang_s; /* a worker silent for so long is killed; 0: none is */
    const char *user; /* NULL: stay who we are */
    uid_t uid;        /* who we will be, with or without */
    gid_t gid;
    bool log_json;
    bool log_debug;
    bool json; /* check --json */
};

/* Of a server that is upgraded: what it listens on already, and how many workers it has. */
struct options_handed {
    const struct options_listen *listen;
    unsigned listen_count, worker_count;
};

/*
 * argv[0] is the subcommand's name. Returns -1 to go on, else the exit status to end with (usage
 * printed, or an error said on standard error). handed, or NULL, stands for what the command line says of
 * the same.
 */
int options_serve(int argc, char **argv, const struct options_handed *handed,
                  struct options *out) MUST_CHECK;
int options_check(int argc, char **argv, struct options *out) MUST_CHECK;

/* Says `turnpike: what: why; hint` on standard error. why and hint may be NULL. */
void options_complain(const char *what, const char *why, const char *hint);

#endif
