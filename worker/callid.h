/*
 * Call IDs: 16 bytes, of which 6 are the time in ms, 2 the hold table, 8 random; as text "call_" and
 * 26 digits of Crockford's base32 in lower case, so that they sort by time. Not secrets.
 */
#ifndef WORKER_CALLID_H
#define WORKER_CALLID_H

#include "worker/room.h"

void callid_make(struct worker *w, uint8_t id[16], char text[CALL_ID_LEN + 1]);

#endif
