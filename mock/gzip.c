/* Gzip (RFC 1952) with stored blocks: what a gateway that never asked for it must not pass on. */
#include "mock/sim.h"

static uint32_t
crc32_add(uint32_t crc, struct str bytes)
{
    static uint32_t table[256];

    if (table[1] == 0)
        for (uint32_t i = 0; i < 256; i++) {
            uint32_t v = i;
            for (int k = 0; k < 8; k++)
                v = v & 1 ? v >> 1 ^ 0xedb88320u : v >> 1;
            table[i] = v;
        }
    crc = ~crc;
    for (size_t i = 0; i < bytes.len; i++)
        crc = table[(crc ^ (uint8_t)bytes.ptr[i]) & 0xff] ^ crc >> 8;
    return ~crc;
}

static void
add_le(struct buf *out, uint32_t n, int bytes)
{
    for (int i = 0; i < bytes; i++)
        buf_add_char(out, (char)(n >> 8 * i & 0xff));
}

void
gzip_begin(struct buf *out)
{
    buf_add(out, "\x1f\x8b\x08\0\0\0\0\0\0\xff", 10);
}

void
gzip_block(struct call *call, struct buf *out, struct str bytes)
{
    call->crc = crc32_add(call->crc, bytes);
    call->crc_len += (uint32_t)bytes.len;
    for (size_t at = 0; at < bytes.len;) {
        size_t len = MIN(bytes.len - at, (size_t)65535);

        buf_add_char(out, 0);
        add_le(out, (uint32_t)len, 2);
        add_le(out, ~(uint32_t)len, 2);
        buf_add(out, bytes.ptr + at, len);
        at += len;
    }
}

void
gzip_end(const struct call *call, struct buf *out)
{
    buf_add_char(out, 1); /* the last block, empty */
    add_le(out, 0, 2);
    add_le(out, 0xffff, 2);
    add_le(out, call->crc, 4);
    add_le(out, call->crc_len, 4);
}
