#include "master/check.h"

#include <stdio.h>

#include "base/buf.h"
#include "base/jw.h"
#include "base/log.h"
#include "base/str.h"
#include "base/term.h"
#include "master/options.h"

void
check_print_faults(const struct conf_faults *faults, bool warnings)
{
    for (size_t i = 0; i < faults->count; i++) {
        const struct conf_fault *fault = &faults->at[i];
        enum term_paint paint = fault->warning ? TERM_WARN : TERM_PLAIN;

        if (warnings || !fault->warning)
            fprintf(stderr, "%s%s%s:%u:%s %s%s%s%s\n",
                    log_priority(fault->warning ? LOG_LEVEL_WARN : LOG_LEVEL_ERROR),
                    term_on(stderr, TERM_HEAD), fault->file, fault->line,
                    term_off(stderr, TERM_HEAD), term_on(stderr, paint),
                    fault->warning ? "warning: " : "", term_off(stderr, paint), fault->message);
    }
}

static void
print_faults_json(const struct conf_faults *faults, bool ok)
{
    struct buf buf;
    struct jw jw;

    buf_init(&buf, 16u << 20);
    jw_init(&jw, &buf);
    jw_object(&jw);
    jw_key_bool(&jw, "ok", ok);
    jw_key(&jw, "faults");
    jw_array(&jw);
    for (size_t i = 0; i < faults->count; i++) {
        jw_object(&jw);
        jw_key_cstr(&jw, "file", faults->at[i].file);
        jw_key_u64(&jw, "line", faults->at[i].line);
        jw_key_cstr(&jw, "severity", faults->at[i].warning ? "warning" : "error");
        jw_key_cstr(&jw, "message", faults->at[i].message);
        jw_object_end(&jw);
    }
    jw_array_end(&jw);
    jw_object_end(&jw);
    printf("%.*s\n", (int)buf.len, buf.ptr);
    buf_free(&buf);
}

int
check_main(int argc, char **argv)
{
    struct options options;
    struct conf_faults faults;
    struct conf *conf;
    int rc = options_check(argc, argv, &options);

    if (rc >= 0)
        return rc;
    conf = conf_load(options.conf_path, &faults);
    rc = conf ? CLI_DONE : CLI_BAD_CONF;
    if (options.json)
        print_faults_json(&faults, conf != NULL);
    else
        check_print_faults(&faults, true);
    if (conf != NULL && !options.json)
        printf("%s: ok: %zu upstreams, %zu models, %zu channels\n", options.conf_path,
               conf->upstream_count, conf->model_count, conf->channel_count);
    conf_faults_free(&faults);
    conf_free(&conf);
    return rc;
}

int
check_load_conf(const char *path, struct conf **out)
{
    struct conf_faults faults;

    *out = conf_load(path, &faults);
    if (*out == NULL) {
        check_print_faults(&faults, true);
        conf_faults_free(&faults);
        return CLI_BAD_CONF;
    }
    for (size_t i = 0; i < faults.count; i++)
        log_warn("conf.warning", "at=%s:%u message=%s", faults.at[i].file, faults.at[i].line,
                 log_quote(str_from(faults.at[i].message)));
    conf_faults_free(&faults);
    return 0;
}
