/*
 * Which conversation a request belongs to, so that its next turn can be sent to where its beginning
 * is cached. In this order of what says it best:
 *
 *     a session that the client names in a header  x-claude-code-session-id (Claude Code), session-id
 *                                                  (Codex), x-session-id, x-session-affinity
 *     "prompt_cache_key"                           OpenAI's own word for it; Codex sends its session
 *     "metadata": {"user_id": …}                   Anthropic's; Claude Code puts its session there
 *     what stays the same from turn to turn        the instructions and the text of the messages up
 *                                                  to the first one of the user
 *
 * A hash: nothing of the content can be had from it.
 */
#ifndef PROTO_THREAD_H
#define PROTO_THREAD_H

#include "proto/ask.h"

/* Is it a header that names a session? In any case. */
bool thread_is_session_header(struct str name);
/*
 * For a body that ask_read() has taken, and the value of the header (STR_NONE: none). owner keeps
 * conversations of different owners apart. 0: the request is no part of a conversation.
 */
uint64_t thread_hash(const struct ask *ask, struct str session, uint64_t owner);

#endif
