/*
 * One look at a host, step by step: its name, a TCP connection, a TLS handshake; then it hangs up. For
 * saying what is wrong between here and there. Blocks, so that it needs no loop; may run on several
 * threads at once. The dial rule and the verification of certificates are those of net/dial.h and
 * net/tls.h.
 */
#ifndef NET_PROBE_H
#define NET_PROBE_H

#include "base/base.h"
#include "net/net.h"
#include "net/tls.h"

struct probe_target {
    struct str host;
    uint16_t port;
    bool tls;
    bool local;          /* any address will do */
    const char *ca_file; /* NULL: the system's */
    unsigned timeout_ms; /* of each step but the first, which the resolver bounds */
};

enum probe_stage { PROBE_RESOLVE = 0, PROBE_CONNECT, PROBE_TLS, PROBE_DONE };

struct probe {
    enum probe_stage stage; /* where it failed, or PROBE_DONE */
    char why[TLS_ERROR_TEXT];
    unsigned address_count;
    char address[NET_ADDR_TEXT]; /* that was dialled last */
    uint64_t resolve_us, connect_us, tls_us;
    struct tls_peer peer; /* where TLS was spoken */
};

void probe_run(const struct probe_target *target, struct probe *out);

#endif
