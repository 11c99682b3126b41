/*
 * Other people's price lists: whatever the bytes, what is taken from them is text that conf/ takes
 * as a whole, with as many models as were said to be taken; what is said of the rest is JSON.
 */
#include <stdint.h>

#include "base/str.h"
#include "cli/import.h"
#include "conf/conf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_notes(const struct import *import)
{
    unsigned taken = 0, refused = 0;
    struct js_value notes, key, value;
    struct js_error err;
    struct js_iter it;

    ASSERT(js_check(buf_str(&import->notes), &notes, &err) && js_is(notes, JS_ARRAY));
    for (js_iter_init(&it, notes); js_next(&it, &key, &value);) {
        ASSERT(js_get(value, STR("why")).raw.len > 0);
        ASSERT(js_is(js_get(value, STR("model")), JS_STRING));
        if (js_bool(js_get(value, STR("taken")), false))
            taken++;
        else
            refused++;
    }
    ASSERT(refused == import->refused && taken <= import->taken);
}

static void
check_text(const struct import *import)
{
    struct conf_faults faults;
    struct conf *conf = conf_load_text(buf_str(&import->text), "import", &faults);

    ASSERT(conf != NULL && conf->model_count == import->taken);
    ASSERT(conf->upstream_count == 0 && conf->channel_count == 0 && conf->auto_count == 0);
    conf_faults_free(&faults);
    conf_free(&conf);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct import import;

    import_init(&import);
    if (import_run(&import, (struct str){(const char *)data, size}) == NULL) {
        check_notes(&import);
        check_text(&import);
    }
    import_free(&import);
    return 0;
}
