/* New calls' IDs; their form is in shm/call_id.h. */
#ifndef WORKER_CALLID_H
#define WORKER_CALLID_H

#include "shm/call_id.h"
#include "worker/room.h"

void callid_make(struct worker *w, uint8_t id[16], char text[CALL_ID_LEN + 1]);

#endif
