/*
 * Which headers pass. Requests to upstreams and answers to clients are built afresh; a
 * header that is not on a list here does not pass. Names compare without case.
 *
 * Never among them: credentials, cookies, host, lengths, hop-by-hop headers, accept-encoding
 * (nothing here unpacks), x-forwarded-* and x-turnpike-*.
 */
#ifndef PROTO_HEADERS_H
#define PROTO_HEADERS_H

#include "base/base.h"
#include "proto/proto.h"

/* A client's header goes to an upstream of this protocol, unchanged, each time it occurs. */
bool headers_go_up(enum proto_protocol protocol, struct str name);

/* An upstream's header goes to the client, under the name given here; STR_NONE when it does not.
 * The upstream's own request id comes out as "x-upstream-request-id". */
struct str headers_come_down(struct str name);

#endif
