#include "master/listeners.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/jw.h"
#include "base/str.h"
#include "master/master.h"
#include "net/listen.h"
#include "net/owner.h"

/* The workers of a master that was killed close their listeners as soon as they notice. */
#define PROBES 40u
#define PROBE_WAIT_MS 50

static int
probe(const char *address, char *err, size_t cap)
{
    int rc = net_listen_probe(str_from(address), err, cap);

    for (unsigned i = 1; rc == -EADDRINUSE && i < PROBES; i++) {
        (void)poll(NULL, 0, PROBE_WAIT_MS);
        rc = net_listen_probe(str_from(address), err, cap);
    }
    return rc;
}

/* One socket for all workers: each has a descriptor of its own to close. */
static int
take_passed(struct master *m, unsigned worker, unsigned k)
{
    int passed_fd = m->options->listen[k].passed_fd;
    int fd = worker == 0 ? passed_fd : fcntl(passed_fd, F_DUPFD_CLOEXEC, 0);

    if (fd < 0) {
        options_complain("serve", strerror(errno), NULL);
        return CLI_FAILED;
    }
    m->listen_fd[worker][k] = fd;
    return 0;
}

static int
bind_refused(const char *address, int rc, const char *why)
{
    char hint[160] = "another ADDR:PORT can be named with -l";
    struct net_owner owner;
    struct net_addr addr;
    char parse_why[200];

    if (rc == -EACCES)
        (void)snprintf(hint, sizeof hint, "ports below 1024 need root");
    else if (rc == -EADDRINUSE &&
             net_listen_parse(str_from(address), &addr, parse_why, sizeof parse_why) &&
             net_port_owner(addr.port, &owner))
        (void)snprintf(hint, sizeof hint,
                       "process %d (%s) has it: stop that, or name another ADDR:PORT with -l",
                       (int)owner.pid, owner.name);
    options_complain("serve", why, hint);
    return rc == -EACCES ? CLI_NOT_ALLOWED : CLI_FAILED;
}

/* With port 0 all workers' sockets must get the port that the first one got. */
static int
bind_one(struct master *m, unsigned worker, unsigned k)
{
    const char *address = m->options->listen[k].address;
    char fixed[128], err[256];
    int fd;

    if (worker > 0) {
        const char *colon = strrchr(address, ':');

        snprintf(fixed, sizeof fixed, "%.*s:%u", (int)(colon ? colon - address : 0), address,
                 net_listen_port(m->listen_fd[0][k]));
        address = fixed;
    }
    fd = worker == 0 ? probe(address, err, sizeof err) : 0;
    if (fd == 0)
        fd = net_listen_socket(str_from(address), err, sizeof err);
    if (fd < 0)
        return bind_refused(address, fd, err);
    m->listen_fd[worker][k] = fd;
    return 0;
}

int
listeners_bind(struct master *m)
{
    for (unsigned k = 0; k < m->options->listen_count; k++)
        for (unsigned i = 0; i < m->options->worker_count; i++) {
            int rc = m->options->listen[k].passed_fd >= 0 ? take_passed(m, i, k)
                                                          : bind_one(m, i, k);

            if (rc != 0)
                return rc;
        }
    return 0;
}

/* Where we listen, with the ports we got: as text for the log, as JSON for status. */
void
listeners_name(struct master *m)
{
    static const char *const scheme[] = {
        [LISTENER_PLAIN] = "http", [LISTENER_TLS] = "https", [LISTENER_METRICS] = "metrics"};
    struct buf text, json;
    struct jw jw;

    buf_init(&text, sizeof m->listeners_text - 1);
    buf_init(&json, sizeof m->listeners_json - 1);
    jw_init(&jw, &json);
    jw_array(&jw);
    for (unsigned k = 0; k < m->options->listen_count; k++) {
        const char *address = m->options->listen[k].address;
        const char *colon = strrchr(address, ':');
        char url[256];
        int n = snprintf(url, sizeof url, "%s://%.*s:%u", scheme[m->options->listen[k].kind],
                         (int)(colon ? colon - address : 0), address,
                         net_listen_port(m->listen_fd[0][k]));

        buf_add_fmt(&text, "%s%.*s", k ? " " : "", n, url);
        jw_cstr(&jw, url);
    }
    jw_array_end(&jw);
    str_copy(buf_str(&text), m->listeners_text, sizeof m->listeners_text);
    str_copy(json.failed ? STR("[]") : buf_str(&json), m->listeners_json,
             sizeof m->listeners_json);
    buf_free(&text);
    buf_free(&json);
}
