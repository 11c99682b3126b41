/*
 * Embeddings for clients of OpenAI from upstreams that speak Gemini: their request as one of
 * batchEmbedContents, and its answer as theirs.
 */
#ifndef PROTO_GEMINI_EMBED_H
#define PROTO_GEMINI_EMBED_H

#include "base/arena.h"
#include "base/base.h"
#include "base/buf.h"
#include "base/js.h"
#include "proto/error.h"

/*
 * Appends the body for an upstream that calls the model so (with or without "models/"). *base64:
 * how the client wants the numbers. False with *error: it asks for what Gemini has not, or wrongly.
 */
bool MUST_CHECK gemini_embed_request(struct js_value openai_document, struct str model_plain,
                                     struct arena *arena, bool *base64, struct buf *out,
                                     struct proto_error *error);

/*
 * Appends the answer for the client, who calls the model so. Takes the answers of embedContent and
 * of batchEmbedContents. False: the upstream breaks its protocol, or out has failed.
 */
bool MUST_CHECK gemini_embed_answer(struct js_value gemini_document, struct str model, bool base64,
                                    struct buf *out);

#endif
