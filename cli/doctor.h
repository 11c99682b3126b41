/*
 * turnpike doctor: looks whether machine, files and providers are fit for a gateway, and says what to do.
 *
 * A check is a function that looks at one thing and says findings of it. All run at the same time, each on a
 * thread of its own and with a deadline, so that a dead file system or name server costs one line and not the
 * others' answers; what they found is shown in the order of the checks. Nothing here makes a call that costs
 * money: of upstreams only name, connection and TLS are tried.
 */
#ifndef CLI_DOCTOR_H
#define CLI_DOCTOR_H

#include "base/base.h"
#include "cli/table.h"
#include "conf/conf.h"

enum doctor_level { DOCTOR_OK = 0, DOCTOR_WARN, DOCTOR_FAIL, DOCTOR_LEVEL_COUNT };

#define DOCTOR_FINDINGS_MAX 24 /* of one check */

struct doctor_finding {
    enum doctor_level level;
    char what[64];  /* "descriptors", "upstream openai" */
    char text[512]; /* what was found */
    char todo[256]; /* what to do about it, or empty */
};

/* What all checks look at; none changes it. */
struct doctor {
    const char *conf_path, *state_dir;
    const struct conf *conf; /* NULL: it has faults */
    const struct conf_faults *faults;
    const struct cli_given *listen, *tls_cert, *tls_key;
    unsigned timeout_ms; /* of one check */
    int master_pid;      /* of the server that runs on the state directory; 0: none does */
};

struct doctor_report {
    struct doctor_finding at[DOCTOR_FINDINGS_MAX];
    unsigned count;
};

/* Adds a finding; past DOCTOR_FINDINGS_MAX they are left out. todo may be NULL. */
void doctor_say(struct doctor_report *report, enum doctor_level level, const char *what,
                const char *todo, const char *fmt, ...) PRINTF_LIKE(5, 6);

/* A check; arg is its own. */
typedef void (*doctor_fn)(const struct doctor *doctor, const void *arg, struct doctor_report *report);

/* doctor_machine.c */
void doctor_descriptors(const struct doctor *doctor, const void *arg, struct doctor_report *report);
void doctor_clock(const struct doctor *doctor, const void *arg, struct doctor_report *report);
void doctor_kernel(const struct doctor *doctor, const void *arg, struct doctor_report *report);
void doctor_memory(const struct doctor *doctor, const void *arg, struct doctor_report *report);
/* doctor_files.c */
void doctor_conf(const struct doctor *doctor, const void *arg, struct doctor_report *report);
void doctor_state(const struct doctor *doctor, const void *arg, struct doctor_report *report);
void doctor_store(const struct doctor *doctor, const void *arg, struct doctor_report *report);
void doctor_certificates(const struct doctor *doctor, const void *arg, struct doctor_report *report);
/* doctor_server.c */
void doctor_server(const struct doctor *doctor, const void *arg, struct doctor_report *report);
void doctor_ports(const struct doctor *doctor, const void *arg, struct doctor_report *report);
/* doctor_serving.c: the certificates and keys of the server that runs; lists in static memory. */
void doctor_serving(int pid, struct cli_given *cert, struct cli_given *key);
/* doctor_upstream.c; arg is the struct conf_upstream */
void doctor_upstream(const struct doctor *doctor, const void *arg, struct doctor_report *report);

/* "2027-01-15" of seconds since 1970. */
const char *doctor_day(int64_t wall_s, char out[32]);
/* How a certificate that ends then is: with `soon` days to go it is a warning. */
enum doctor_level doctor_expiry(int64_t begin_s, int64_t end_s, const char **why);

enum cli_exit doctor_run(const struct cli_local *local);

#endif
