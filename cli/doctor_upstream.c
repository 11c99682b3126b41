/* Whether an upstream can be reached: its name, a connection, TLS. No call is made. */
#include "cli/doctor.h"

#include <stdio.h>

#include "base/str.h"
#include "net/probe.h"

#define SLOW_US 1000000

static const char *
todo_of(const struct conf_upstream *upstream, enum probe_stage stage)
{
    switch (stage) {
    case PROBE_RESOLVE:
        return upstream->local ? "is the name right, and the name server there?"
                               : "is the name right, and the name server there? local = true allows "
                                 "private addresses";
    case PROBE_CONNECT: return "is it up, and no firewall between? Proxies are not used";
    case PROBE_TLS:
        return upstream->ca_file.ptr != NULL
                   ? "look at ca-file, at the clock, and at what stands between"
                   : "name its authority with ca-file; look at the clock, and at what stands between";
    case PROBE_DONE: break;
    }
    return NULL;
}

/* "name 3 ms, TCP 12 ms, TLSv1.3 20 ms" */
static void
times_text(const struct probe *probe, bool tls, char *out, size_t cap)
{
    int n = snprintf(out, cap, "name %llu ms, TCP %llu ms", (unsigned long long)(probe->resolve_us / 1000),
                     (unsigned long long)(probe->connect_us / 1000));

    if (tls && n > 0 && (size_t)n < cap)
        (void)snprintf(out + n, cap - (size_t)n, ", %s %llu ms", probe->peer.version,
                       (unsigned long long)(probe->tls_us / 1000));
}

static void
say_reached(const struct conf_upstream *upstream, const struct probe *probe, const char *what,
            struct doctor_report *report)
{
    const struct tls_dates *dates = &probe->peer.dates;
    const char *why = NULL, *todo = NULL;
    enum doctor_level level = DOCTOR_OK;
    char times[128], day[32];

    times_text(probe, upstream->tls, times, sizeof(times));
    if (upstream->tls && dates->count > 0) {
        level = doctor_expiry(dates->begin_s, dates->end_s, &why);
        todo = level != DOCTOR_OK ? "its owner has to renew it" : NULL;
    }
    if (level == DOCTOR_OK && probe->resolve_us + probe->connect_us + probe->tls_us > SLOW_US) {
        level = DOCTOR_WARN;
        todo = "that is slow: look at the name server and the way there";
    }
    if (upstream->tls && dates->count > 0)
        doctor_say(report, level, what, todo, "%s: %s; %u certificates, until %s%s%s", probe->address, times,
                   dates->count, doctor_day(dates->end_s, day), why != NULL ? ": " : "",
                   why != NULL ? why : "");
    else
        doctor_say(report, level, what, todo, "%s: %s", probe->address, times);
}

void
doctor_upstream(const struct doctor *doctor, const void *arg, struct doctor_report *report)
{
    const struct conf_upstream *upstream = arg;
    const struct probe_target target = {
        .host = upstream->host,
        .port = upstream->port,
        .tls = upstream->tls,
        .local = upstream->local,
        .ca_file = upstream->ca_file.ptr,
        .timeout_ms = doctor->timeout_ms,
    };
    char what[64];
    struct probe probe;

    (void)snprintf(what, sizeof(what), "upstream %s", upstream->name.ptr);
    if (upstream->disabled_reason != NULL) {
        doctor_say(report, DOCTOR_WARN, what, "it is left out until then", "%s",
                   upstream->disabled_reason);
        return;
    }
    probe_run(&target, &probe);
    if (probe.stage == PROBE_DONE)
        say_reached(upstream, &probe, what, report);
    else
        doctor_say(report, DOCTOR_FAIL, what, todo_of(upstream, probe.stage), "%s%s%s: %s",
                   upstream->authority.ptr, probe.address[0] != '\0' ? " at " : "", probe.address,
                   probe.why);
}
