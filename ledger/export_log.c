/* The audit log as lines. JSON is the entry as it stands; in CSV what was and what is are JSON in a field. */
#include "ledger/export_row.h"

#include <string.h>

#include "base/str.h"

/* Only added to at the end: programs count on the order. */
static const char *const columns[][2] = {
    {"seq", "seq"},
    {"time", "time"},
    {"tenant", "tenant"},
    {"actor_kind", "actor.kind"},
    {"actor_id", "actor.id"},
    {"actor_name", "actor.name"},
    {"ip", "actor.ip"},
    {"request", "actor.request"},
    {"action", "action"},
    {"target_kind", "target.kind"},
    {"target_id", "target.id"},
    {"target_name", "target.name"},
    {"before", "before"},
    {"after", "after"},
    {"also", "also"},
    {"args", "args"},
};

void
export_log_head(enum export_format format, struct buf *out)
{
    if (format != EXPORT_CSV)
        return;
    for (size_t i = 0; i < COUNT_OF(columns); i++)
        buf_add_fmt(out, "%s%s", i > 0 ? "," : "", columns[i][0]);
    buf_add_str(out, STR("\r\n"));
}

/* "actor.id": of a member the member. */
static struct js_value
member_at(struct js_value value, const char *path)
{
    struct str rest = str_from(path);

    while (rest.ptr != NULL && js_is(value, JS_OBJECT))
        value = js_get(value, str_split(rest, '.', &rest));
    return rest.ptr == NULL ? value : (struct js_value){.type = JS_NONE};
}

static void
csv_value(struct buf *out, struct js_value value)
{
    char scratch[2048];

    if (js_is(value, JS_NONE) || js_is(value, JS_NULL))
        return;
    if (js_is(value, JS_STRING))
        export_csv_text(out, value.raw.len < sizeof(scratch)
                                 ? js_unescape(value, scratch, sizeof(scratch))
                                 : value.raw);
    else
        export_csv_text(out, value.raw);
}

void
export_log_row(enum export_format format, struct js_value entry, struct buf *out)
{
    if (format == EXPORT_JSONL) {
        buf_add_str(out, entry.raw);
        buf_add_char(out, '\n');
        return;
    }
    for (size_t i = 0; i < COUNT_OF(columns); i++) {
        if (i > 0)
            buf_add_char(out, ',');
        csv_value(out, member_at(entry, columns[i][1]));
    }
    buf_add_str(out, STR("\r\n"));
}
