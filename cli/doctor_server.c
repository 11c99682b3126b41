/* The server that runs, and whether the ports are free where none does. */
#include "cli/doctor.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/js.h"
#include "base/str.h"
#include "cli/client.h"
#include "net/listen.h"
#include "net/owner.h"

#define ANSWER_BYTES_MAX (16u << 20)
#define LAG_MUCH 10000
#define LISTEN_DEFAULT "127.0.0.1:8080"

/* The result of a command that takes no arguments; false, and it was said why. */
static bool
ask(const struct doctor *doctor, const char *cmd, struct buf *answer, struct js_value *result,
    struct doctor_report *report)
{
    char request[128];
    struct js_value value;
    struct js_error err;
    int fd = client_connect(doctor->state_dir), rc = fd;

    buf_init(answer, ANSWER_BYTES_MAX);
    if (fd >= 0) {
        int n = snprintf(request, sizeof(request), "{\"cmd\":\"%s\",\"args\":{}}", cmd);

        rc = client_ask(fd, (struct str){request, (size_t)n}, answer, doctor->timeout_ms);
        close(fd);
    }
    if (rc == 0 && js_check(buf_str(answer), &value, &err) &&
        js_bool(js_get(value, STR("ok")), false)) {
        *result = js_get(value, STR("result"));
        return true;
    }
    doctor_say(report, DOCTOR_FAIL, "server",
               rc == -EACCES || rc == -EPERM ? "run doctor as its user or as root"
                                             : "see its log; if it stands still, stop and start it",
               "process %d runs, and does not answer: %s", doctor->master_pid,
               rc < 0 ? strerror(-rc) : "not as it should");
    return false;
}

static uint64_t
count_at(struct js_value object, const char *path)
{
    uint64_t n = 0;

    return js_count(print_at(object, path), UINT64_MAX, &n) ? n : 0;
}

static void
check_status(struct js_value status, struct doctor_report *report)
{
    uint64_t restarts = count_at(status, "restarts_worker") + count_at(status, "restarts_ledger") +
                        count_at(status, "restarts_manage");
    uint64_t lag = count_at(status, "ledger.lag");
    struct js_value key, worker;
    unsigned workers = 0;
    struct js_iter it;

    for (js_iter_init(&it, js_get(status, STR("workers"))); js_next(&it, &key, &worker);)
        workers++;
    doctor_say(report, workers > 0 ? DOCTOR_OK : DOCTOR_FAIL, "server",
               workers > 0 ? NULL : "see its log", "process %llu, %u workers, up %llu s",
               (unsigned long long)count_at(status, "master.pid"), workers,
               (unsigned long long)count_at(status, "uptime_s"));
    if (count_at(status, "manage.pid") == 0)
        doctor_say(report, DOCTOR_WARN, "server", "see its log for what ends the manage process",
                   "the management API is not served at the moment");
    if (restarts > 0)
        doctor_say(report, DOCTOR_WARN, "server", "see its log for what ended them",
                   "%llu processes were restarted", (unsigned long long)restarts);
    if (lag > LAG_MUCH)
        doctor_say(report, DOCTOR_WARN, "server", "look at the disk: commits are slow",
                   "%llu calls wait to be written", (unsigned long long)lag);
}

static void
check_circuits(struct js_value result, struct doctor_report *report)
{
    struct js_value key, upstream;
    struct js_iter it;

    for (js_iter_init(&it, js_get(result, STR("upstreams"))); js_next(&it, &key, &upstream);) {
        char name[96], state[32], why[128];

        print_value(js_get(upstream, STR("upstream")), name, sizeof(name));
        print_value(js_get(upstream, STR("state")), state, sizeof(state));
        print_value(js_get(upstream, STR("why")), why, sizeof(why));
        if (strcmp(state, "open") == 0)
            doctor_say(report, DOCTOR_WARN, "server", "turnpike upstreams shows all",
                       "it sends no calls to %s: %s", name, why);
    }
}

void
doctor_server(const struct doctor *doctor, const void *arg, struct doctor_report *report)
{
    struct js_value result;
    struct buf answer;

    (void)arg;
    if (doctor->master_pid == 0) {
        doctor_say(report, DOCTOR_OK, "server", NULL, "none runs on %s", doctor->state_dir);
        return;
    }
    if (ask(doctor, "status", &answer, &result, report)) {
        check_status(result, report);
        buf_free(&answer);
        if (ask(doctor, "upstreams", &answer, &result, report))
            check_circuits(result, report);
    }
    buf_free(&answer);
}

/* ---- ports ---- */

static void
check_port(const struct doctor *doctor, const char *address, struct doctor_report *report)
{
    struct net_owner owner;
    struct net_addr addr;
    char why[256];
    int rc;

    if (!net_listen_parse(str_from(address), &addr, why, sizeof(why))) {
        doctor_say(report, DOCTOR_FAIL, "port", "as 127.0.0.1:8080, [::1]:8080 or *:8080", "%s: %s",
                   address, why);
        return;
    }
    rc = net_listen_probe(str_from(address), why, sizeof(why));
    if (rc == 0) {
        doctor_say(report, DOCTOR_OK, "port", NULL, "%s is free", address);
    } else if (rc == -EADDRINUSE && net_port_owner(addr.port, &owner)) {
        bool ours = doctor->master_pid > 0 && strcmp(owner.name, "turnpike") == 0;

        doctor_say(report, ours ? DOCTOR_OK : DOCTOR_FAIL, "port",
                   ours ? NULL : "stop that, or name another with -l", "%s is taken by process %d (%s)",
                   address, (int)owner.pid, owner.name);
    } else {
        doctor_say(report, doctor->master_pid > 0 ? DOCTOR_OK : DOCTOR_FAIL, "port",
                   doctor->master_pid > 0 ? NULL
                   : rc == -EACCES        ? "ports below 1024 need root, or AmbientCapabilities="
                                            "CAP_NET_BIND_SERVICE of the unit"
                                          : "name another with -l",
                   "%s", why);
    }
}

void
doctor_ports(const struct doctor *doctor, const void *arg, struct doctor_report *report)
{
    (void)arg;
    for (unsigned i = 0; i < doctor->listen->count; i++)
        check_port(doctor, doctor->listen->at[i], report);
    if (doctor->listen->count == 0 && doctor->master_pid == 0)
        check_port(doctor, LISTEN_DEFAULT, report);
}
