#include "manage/form.h"

#include <string.h>

void
form_value(struct buf *out, struct str value)
{
    static const char hex[] = "0123456789ABCDEF";

    for (size_t i = 0; i < value.len; i++) {
        uint8_t c = (uint8_t)value.ptr[i];

        if ((c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') ||
            (c != '\0' && strchr("-._~", c) != NULL)) {
            buf_add_char(out, (char)c);
        } else {
            buf_add_char(out, '%');
            buf_add_char(out, hex[c >> 4]);
            buf_add_char(out, hex[c & 15]);
        }
    }
}

void
form_add(struct buf *out, const char *name, struct str value)
{
    if (out->len > 0)
        buf_add_char(out, '&');
    buf_add(out, name, strlen(name));
    buf_add_char(out, '=');
    form_value(out, value);
}
