/* What the files of a translation share. For translate*.c only. */
#ifndef PROTO_TRANSLATE_IN_H
#define PROTO_TRANSLATE_IN_H

#include "proto/translate.h"

/* translate.c: to the encoder, or to what is collected. */
void translate_emit(struct translate *t, const struct chat_delta *delta);

/* translate_calls.c: from the decoder; puts calls in order, and gives tools their names. */
void calls_on_delta(void *arg, const struct chat_delta *delta);
void calls_free(struct translate *t);

/* translate_whole.c: what a client gets that does not stream. */
void pieces_add(struct translate *t, const struct chat_delta *delta);
void pieces_free(struct translate *t);

/* Appends to a buffer that is kept for the answer; fails the translation past its bound. */
void translate_keep(struct translate *t, struct buf *buf, struct str text);

#endif
