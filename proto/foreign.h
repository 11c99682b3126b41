/*
 * What other providers have signed, in a body that passes as it is.
 *
 * A conversation that another upstream has served for a while, translated, holds reasoning whose
 * signature has a tag of ours (codec_tag()). A client sends it back to whoever serves the next turn, and
 * to the provider whose own protocol the client speaks it goes as it stands: that one refuses what it
 * has not signed itself, and would for all the rest of the conversation. So it is taken out.
 */
#ifndef PROTO_FOREIGN_H
#define PROTO_FOREIGN_H

#include "base/base.h"
#include "base/buf.h"
#include "proto/proto.h"

/* May there be such? A look at the bytes alone. */
bool foreign_suspected(enum proto_endpoint endpoint, struct str body);

/*
 * Appends the body, which is JSON, without it, all else as it stands. Where Anthropic's extended
 * thinking could not go on without the thought that led to a tool's result, it is turned off; Gemini is
 * told that a call is not signed. False: there is nothing to be taken out, or, with out->failed, no room.
 */
bool foreign_strip(enum proto_endpoint endpoint, struct str body, struct buf *out);

#endif
