/*
 * A call's ID: 16 bytes, of which 6 are the time of its start in ms, 2 the hold table, 8 random; as
 * text "call_" and 26 digits of Crockford's base32 in lower case, so that they sort by time. Not
 * secrets.
 */
#ifndef SHM_CALL_ID_H
#define SHM_CALL_ID_H

#include "base/base.h"

#define CALL_ID_BYTES 16
#define CALL_ID_LEN 31

void call_id_text(const uint8_t id[CALL_ID_BYTES], char text[CALL_ID_LEN + 1]);
/* Digits in either case. False when it is not one. */
bool call_id_parse(struct str text, uint8_t id[CALL_ID_BYTES]) MUST_CHECK;
/* What is random in it, as the seed of what the call draws: who knows the ID can draw the same again. */
uint64_t call_id_seed(const uint8_t id[CALL_ID_BYTES]);
int64_t call_id_wall_us(const uint8_t id[CALL_ID_BYTES]); /* its start, by the ms */

#endif
