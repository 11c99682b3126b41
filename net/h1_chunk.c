#include "net/h1_chunk.h"

#include "net/h1_head.h"

/* What the next byte is. */
enum chunk_state {
    SIZE = 0,  /* hex digit; after the first also ';' or CR */
    EXTENSION, /* its byte, or CR */
    SIZE_LF,
    DATA,
    DATA_CR,
    DATA_LF,
    LINE,  /* first byte of a trailer, or CR of the message's end */
    NAME,  /* of a trailer, or ':' */
    VALUE, /* its byte, or CR */
    LINE_LF,
    END_LF,
    ENDED, /* or failed */
};

/* Trailers that would change what was believed at the head. All others are dropped unread. */
static const struct str forbidden[] = {
    {"authorization", 13},
    {"content-length", 14},
    {"host", 4},
    {"transfer-encoding", 17},
};
enum { FORBIDDEN_ALL = (1u << COUNT_OF(forbidden)) - 1 };

void
h1_chunk_init(struct h1_chunk *chunk, uint64_t body_max, uint32_t extra_max)
{
    *chunk = (struct h1_chunk){.body_max = body_max, .extra_left = extra_max};
}

static int
hex_value(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static enum h1_chunk_got
size_byte(struct h1_chunk *chunk, uint8_t c)
{
    int digit = hex_value(c);

    if (digit >= 0) {
        if (chunk->digits == 16) /* a 17th would pass 64 bits, or be an idle zero */
            return H1_CHUNK_BAD;
        chunk->digits++;
        chunk->left = chunk->left << 4 | (unsigned)digit;
        return H1_CHUNK_MORE;
    }
    if (chunk->digits == 0 || (c != '\r' && c != ';'))
        return H1_CHUNK_BAD;
    if (chunk->left > chunk->body_max - chunk->body_bytes)
        return H1_CHUNK_TOO_BIG;
    chunk->state = c == ';' ? EXTENSION : SIZE_LF;
    return H1_CHUNK_MORE;
}

/* Follows the name as long as it may still become a forbidden one; keeps none of it. */
static enum h1_chunk_got
name_byte(struct h1_chunk *chunk, uint8_t c)
{
    if (c == ':') {
        for (size_t k = 0; k < COUNT_OF(forbidden); k++) {
            if ((chunk->name_kinds & 1u << k) && forbidden[k].len == chunk->name_len)
                return H1_CHUNK_BAD;
        }
        chunk->state = VALUE;
        return H1_CHUNK_MORE;
    }
    if (!h1_is_token((struct str){(const char *)&c, 1}))
        return H1_CHUNK_BAD;
    for (size_t k = 0; k < COUNT_OF(forbidden); k++) {
        if (chunk->name_len >= forbidden[k].len || (c | 0x20) != forbidden[k].ptr[chunk->name_len])
            chunk->name_kinds &= (uint8_t) ~(1u << k);
    }
    if (chunk->name_len < UINT8_MAX)
        chunk->name_len++;
    return H1_CHUNK_MORE;
}

static bool
is_text(uint8_t c)
{
    return c == '\t' || (c >= 0x20 && c != 0x7f);
}

/* Any byte that is not data. */
static enum h1_chunk_got
frame_byte(struct h1_chunk *chunk, uint8_t c)
{
    switch ((enum chunk_state)chunk->state) {
    case SIZE: return size_byte(chunk, c);
    case EXTENSION:
    case VALUE:
        if (c == '\r')
            chunk->state = chunk->state == VALUE ? LINE_LF : SIZE_LF;
        else if (!is_text(c))
            return H1_CHUNK_BAD;
        return H1_CHUNK_MORE;
    case SIZE_LF:
        if (c != '\n')
            return H1_CHUNK_BAD;
        chunk->state = chunk->left > 0 ? DATA : LINE;
        return H1_CHUNK_MORE;
    case DATA_CR:
        if (c != '\r')
            return H1_CHUNK_BAD;
        chunk->state = DATA_LF;
        return H1_CHUNK_MORE;
    case DATA_LF:
        if (c != '\n')
            return H1_CHUNK_BAD;
        chunk->state = SIZE;
        chunk->digits = 0;
        return H1_CHUNK_MORE;
    case LINE:
        if (c == '\r') {
            chunk->state = END_LF;
            return H1_CHUNK_MORE;
        }
        chunk->state = NAME;
        chunk->name_len = 0;
        chunk->name_kinds = FORBIDDEN_ALL;
        return c == ':' ? H1_CHUNK_BAD : name_byte(chunk, c);
    case NAME: return name_byte(chunk, c);
    case LINE_LF:
        if (c != '\n')
            return H1_CHUNK_BAD;
        chunk->state = LINE;
        return H1_CHUNK_MORE;
    case END_LF: return c == '\n' ? H1_CHUNK_END : H1_CHUNK_BAD;
    case DATA:
    case ENDED: break;
    }
    return H1_CHUNK_BAD;
}

/* Whether a byte in this state is one of an extension or a trailer. */
static bool
is_extra(uint8_t state)
{
    return state == EXTENSION || state == NAME || state == VALUE || state == LINE_LF;
}

enum h1_chunk_got
h1_chunk_read(struct h1_chunk *chunk, const uint8_t *bytes, size_t len, size_t *used,
              struct str *data)
{
    size_t i = 0;

    ASSERT(chunk->state != ENDED);
    for (; i < len; i++) {
        if (chunk->state == DATA) {
            size_t piece = (size_t)MIN((uint64_t)(len - i), chunk->left);
            *data = (struct str){(const char *)bytes + i, piece};
            *used = i + piece;
            chunk->left -= piece;
            chunk->body_bytes += piece;
            if (chunk->left == 0)
                chunk->state = DATA_CR;
            return H1_CHUNK_DATA;
        }
        enum h1_chunk_got got = frame_byte(chunk, bytes[i]);
        if (got == H1_CHUNK_MORE && is_extra(chunk->state) && chunk->extra_left-- == 0)
            got = H1_CHUNK_EXTRA;
        if (got != H1_CHUNK_MORE) {
            chunk->state = ENDED;
            *used = got == H1_CHUNK_END ? i + 1 : i;
            return got;
        }
    }
    *used = len;
    return H1_CHUNK_MORE;
}
