#include "base/trace.h"

#include <string.h>

#include "base/rng.h"
#include "base/str.h"

#define VERSION_OFF 0
#define TRACE_OFF 3
#define SPAN_OFF 36
#define FLAGS_OFF 53

static bool
is_zero(const uint8_t *bytes, size_t len)
{
    uint8_t any = 0;

    for (size_t i = 0; i < len; i++)
        any |= bytes[i];
    return any == 0;
}

/* Capitals are refused by the specification. */
static bool
field(struct str text, size_t off, uint8_t *out, size_t len)
{
    struct str hex = {text.ptr + off, 2 * len};

    for (size_t i = 0; i < hex.len; i++)
        if (hex.ptr[i] >= 'A' && hex.ptr[i] <= 'F')
            return false;
    return str_unhex(hex, out, len);
}

bool
trace_parse(struct str text, struct trace_parent *out)
{
    uint8_t version;

    if (text.len < TRACE_PARENT_LEN || text.ptr[2] != '-' || text.ptr[35] != '-' ||
        text.ptr[52] != '-' || !field(text, VERSION_OFF, &version, 1) || version == 0xff)
        return false;
    /* A later version may have more behind a dash. */
    if (text.len > TRACE_PARENT_LEN && (version == 0 || text.ptr[TRACE_PARENT_LEN] != '-'))
        return false;
    return field(text, TRACE_OFF, out->trace_id, sizeof(out->trace_id)) &&
           field(text, SPAN_OFF, out->span_id, sizeof(out->span_id)) &&
           field(text, FLAGS_OFF, &out->flags, 1) &&
           !is_zero(out->trace_id, sizeof(out->trace_id)) &&
           !is_zero(out->span_id, sizeof(out->span_id));
}

void
trace_text(const struct trace_parent *parent, char out[TRACE_PARENT_LEN + 1])
{
    memcpy(out, "00-", 3);
    str_hex(parent->trace_id, sizeof(parent->trace_id), out + TRACE_OFF);
    out[TRACE_OFF + 2 * TRACE_ID_BYTES] = '-';
    str_hex(parent->span_id, sizeof(parent->span_id), out + SPAN_OFF);
    out[SPAN_OFF + 2 * TRACE_SPAN_BYTES] = '-';
    str_hex(&parent->flags, 1, out + FLAGS_OFF);
}

void
trace_span_id(const uint8_t call_id[16], unsigned n, uint8_t out[TRACE_SPAN_BYTES])
{
    uint64_t state, id;

    memcpy(&state, call_id + 8, sizeof(state));
    state += n * UINT64_C(0x9e3779b97f4a7c15); /* the generator's own step: no two n meet */
    id = rng_next(&state);
    if (id == 0)
        id = 1;
    memcpy(out, &id, sizeof(id));
}

bool
trace_sampled(uint64_t seed, uint32_t sample_u)
{
    return rng_next(&seed) % 1000000 < sample_u;
}
