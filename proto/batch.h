/*
 * Batches: what the gateway must know of a file of requests that is to be batched, and of what makes
 * a batch of it. Bytes in, ranges out; the file goes on as it is.
 *
 * A file has a request a line (JSON Lines). A batch is billed long after it was sent, so all that its
 * price hangs on is looked at when the file comes: how many lines it has, which model all of them
 * name, and where they go. As the provider itself has it, a file is for one model and one endpoint.
 * What the provider would refuse only hours later, the batch being paid for by then, is refused here
 * as far as it can be seen: a line that is no object, is blank, or lacks something.
 */
#ifndef PROTO_BATCH_H
#define PROTO_BATCH_H

#include "base/base.h"
#include "base/js.h"
#include "base/jw.h"
#include "proto/error.h"
#include "proto/proto.h"

#define BATCH_PURPOSE "batch"
#define BATCH_LINES_MAX 50000u
#define BATCH_ID_LEN_MAX 512u /* of a custom_id */
#define BATCH_MODEL_LEN_MAX 256u

struct batch_lines {
    uint32_t count;
    struct str model; /* as JSON has it between its quotes; never with an escape; in the file */
    enum proto_endpoint endpoint; /* that they are requests for */
};

/*
 * Reads such a file. False with *error, which names the line and what is wrong with it, when it is not
 * what can be batched.
 */
bool MUST_CHECK batch_read_lines(struct str file, struct batch_lines *out,
                                 struct proto_error *error);

/* What can be batched, by its path: "/v1/chat/completions". False for any other. */
bool MUST_CHECK batch_endpoint(struct str path, enum proto_endpoint *out);
/* The way back. STR_NONE for what cannot be batched. */
struct str batch_path(enum proto_endpoint endpoint);

/* The body that makes a batch: which file, and for what. Views are into the body. */
struct batch_create {
    struct str file_id;
    enum proto_endpoint endpoint;
};
bool MUST_CHECK batch_read_create(struct str body, struct batch_create *out,
                                  struct proto_error *error);

/*
 * What an answer says of a batch: its ID and the files that it names. Views are into the answer;
 * STR_NONE for what it does not name, or not as an ID can be.
 */
struct batch_names {
    struct str id, input, output, errors;
};
struct batch_names batch_names_of(struct js_value batch);
/* As one object: id, input, output, errors, those that there are. */
void batch_names_write(struct jw *jw, const struct batch_names *names);

#endif
