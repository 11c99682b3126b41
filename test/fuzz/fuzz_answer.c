/* Whole answers and error bodies of upstreams: whatever comes, what goes on is valid, bounded, and
 * without the secret. The first byte says which endpoint or status. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/js.h"
#include "base/str.h"
#include "proto/answer.h"
#include "proto/error.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    static const unsigned statuses[] = {302, 400, 401, 402, 404, 413, 422, 429, 500, 503, 529};
    const struct str secret = STR("sk-very-secret-key");
    const struct error_secrets secrets = {&secret, 1};
    struct upstream_answer upstream;
    struct js_value document;
    struct proto_error error;
    struct js_error fault;
    struct answer_output output;
    struct answer answer;
    enum proto_endpoint endpoint;
    struct buf out;
    char *body;

    if (len < 1)
        return 0;
    body = malloc(len);
    memcpy(body, bytes + 1, len - 1);
    struct str text = {body, len - 1};
    /* Those with the highest bit are of pictures, sound and so on. */
    endpoint = (enum proto_endpoint)(bytes[0] % (ENDPOINT_COUNT_TOKENS + 1));
    if (bytes[0] & 0x80)
        endpoint = (enum proto_endpoint)(ENDPOINT_IMAGES +
                                         bytes[0] % (ENDPOINT_COUNT - ENDPOINT_IMAGES));
    answer_read(endpoint, text, &answer);
    ASSERT(answer.usage.reasoning <= answer.usage.output);
    output = answer_output(&answer);
    ASSERT(output.len <= text.len);
    ASSERT(output.estimate <= answer_output_max(&answer));
    ASSERT(answer.kind == ANSWER_OK || !output.any);
    if (answer.kind == ANSWER_OK)
        ASSERT(answer_content(&answer) < CONTENT_COUNT);

    upstream = (struct upstream_answer){
        .status = statuses[bytes[0] % COUNT_OF(statuses)],
        .retry_after = (struct str){body, MIN(text.len, 12)},
        .body = text,
    };
    error_from_upstream(&upstream, secrets, &error);
    ASSERT(strstr(error.message, secret.ptr) == NULL && strstr(error.code, secret.ptr) == NULL);
    ASSERT(strlen(error.message) < ERROR_MESSAGE_MAX && error.message[0] != '\0');
    for (int p = 0; p < PROTO_PROTOCOL_COUNT; p++) {
        buf_init(&out, 1 << 16);
        error_write_body(&out, (enum proto_protocol)p, &error, STR("call_1"));
        ASSERT(js_check(buf_str(&out), &document, &fault));
        buf_free(&out);
    }
    free(body);
    return 0;
}
