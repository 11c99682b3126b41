/* The rows themselves, and that the manual page and the sample say the same as they do. */
#include "conf/table.h"

#include "base/buf.h"
#include "base/str.h"
#include "conf/conf.h"
#include "conf/value.h"
#include "test/unit/testing.h"

#define MANUAL "man/routes.conf.5"
#define SAMPLE "routes.conf"

static bool
has_number(const struct conf_key *key)
{
    return key->type == CONF_T_UINT || key->type == CONF_T_SIZE || key->type == CONF_T_DURATION ||
           key->type == CONF_T_AGE ||
           key->type == CONF_T_DECIMAL || key->type == CONF_T_PRICE || key->type == CONF_T_EACH;
}

static void
test_rows(void **state)
{
    (void)state;
    for (int kind = 0; kind < CONF_SECTION_COUNT; kind++) {
        const struct conf_section *section = &conf_sections[kind];

        assert_int_equal(conf_section_find(section->parent, str_from(section->name)), kind);
        assert_true(section->doc[strlen(section->doc) - 1] == '.');
        for (size_t i = 0; i < section->key_count; i++) {
            const struct conf_key *key = &section->keys[i];
            struct value_why why;
            uint64_t number;

            /* The first of that name is this one: no name stands twice. */
            assert_ptr_equal(conf_key_find(section, str_from(key->name)), key);
            assert_non_null(key->doc);
            assert_true(key->doc[0] >= 'A' && key->doc[0] <= 'Z');
            assert_true(key->doc[strlen(key->doc) - 1] == '.');
            assert_false(key->required && key->def != NULL);
            assert_true((key->type == CONF_T_WORD || key->type == CONF_T_BITS) ==
                        (key->word_count > 0));
            assert_true(!has_number(key) || key->max > key->min);
            assert_true(key->field_bytes == 8 || !has_number(key) ||
                        key->max >> (8 * key->field_bytes) == 0);
            if (key->def != NULL && key->type != CONF_T_STRING && key->type != CONF_T_STRINGS &&
                !value_number(key, str_from(key->def), &number, &why))
                fail_msg("%s: %s", key->name, why.text);
        }
    }
    assert_int_equal(conf_section_find(CONF_NONE, STR("tier")), CONF_NONE);
    assert_int_equal(conf_section_find(CONF_S_MODEL, STR("tier")), CONF_S_TIER);
}

/* ---- the manual page ----------------------------------------------------------------------- */

static char *
file_text(const char *name)
{
    FILE *file = fopen(name, "r");
    char *text = calloc(1, 1 << 18);

    if (file == NULL)
        fail_msg("%s: run the tests from the top of the repository", name);
    assert_non_null(text);
    assert_true(fread(text, 1, (1 << 18) - 1, file) > 0);
    fclose(file);
    return text;
}

/* Words with one blank between them, macros left out, so that line breaks do not count. */
static void
words_of(const char *text, size_t len, struct buf *out)
{
    const char *end = text + len;

    for (const char *line = text; line < end;) {
        const char *next = memchr(line, '\n', (size_t)(end - line));

        next = next == NULL ? end : next;
        if (line[0] == '.')
            line = memchr(line, ' ', (size_t)(next - line));
        for (; line != NULL && line < next; line++)
            if (*line != ' ' || (out->len > 0 && out->ptr[out->len - 1] != ' '))
                buf_add_char(out, *line);
        if (out->len > 0 && out->ptr[out->len - 1] != ' ')
            buf_add_char(out, ' ');
        line = next + 1;
    }
    buf_add_char(out, '\0');
}

static void
check_item(const struct conf_section *section, const struct conf_key *key, const char *item)
{
    const char *end = strstr(item + 1, "\n.It "), *list_end = strstr(item, "\n.El");
    char wanted[256], low[VALUE_WHY_LEN], high[VALUE_WHY_LEN];
    struct value_why text;
    struct buf words;

    assert_non_null(list_end);
    if (end == NULL || end > list_end)
        end = list_end;
    buf_init(&words, 1 << 16);
    words_of(item, (size_t)(end - item), &words);
    if (strstr(words.ptr, key->doc) == NULL)
        fail_msg(MANUAL ": %s: %s: does not say \"%s\"", section->name, key->name, key->doc);
    if (key->def != NULL && key->def[0] != '\0') {
        snprintf(wanted, sizeof(wanted), "Default: %s .", key->def);
        if (strstr(words.ptr, wanted) == NULL)
            fail_msg(MANUAL ": %s: %s: does not say \"%s\"", section->name, key->name, wanted);
    }
    if (has_number(key) && key->type != CONF_T_PRICE && key->type != CONF_T_EACH) {
        snprintf(low, sizeof(low), "%s", value_text(key, key->min, &text));
        snprintf(high, sizeof(high), "%s", value_text(key, key->max, &text));
        snprintf(wanted, sizeof(wanted), "From %.64s to %.64s.", low, high);
        if (strstr(words.ptr, wanted) == NULL)
            fail_msg(MANUAL ": %s: %s: does not say \"%s\"", section->name, key->name, wanted);
    }
    for (size_t i = 0; i < key->word_count; i++)
        if (strstr(words.ptr, key->words[i]) == NULL)
            fail_msg(MANUAL ": %s: %s: does not name %s", section->name, key->name, key->words[i]);
    if (key->required)
        assert_non_null(strstr(words.ptr, "Required."));
    buf_free(&words);
}

static void
test_manual(void **state)
{
    char *manual = file_text(MANUAL);

    (void)state;
    for (int kind = 0; kind < CONF_SECTION_COUNT; kind++) {
        const struct conf_section *section = &conf_sections[kind];
        char wanted[128];
        char *start, *end;
        size_t items = 0;

        snprintf(wanted, sizeof(wanted), "\n.Ss %s\n%s\n", section->name, section->doc);
        start = strstr(manual, wanted);
        if (start == NULL)
            fail_msg(MANUAL ": no section %s: %s", section->name, section->doc);
        end = strstr(start, "\n.El");
        assert_non_null(end);
        for (char *at = strstr(start, "\n.It "); at != NULL && at < end;
             at = strstr(at + 1, "\n.It "))
            items++;
        assert_int_equal(items, section->key_count); /* nor anything that is gone */
        for (size_t i = 0; i < section->key_count; i++) {
            char *item;

            snprintf(wanted, sizeof(wanted), "\n.It Cm %s No = Ar %s\n", section->keys[i].name,
                     conf_type_name[section->keys[i].type]);
            item = strstr(start, wanted);
            if (item == NULL || item > end)
                fail_msg(MANUAL ": %s: no item%s", section->name, wanted);
            check_item(section, &section->keys[i], item);
        }
    }
    free(manual);
}

/* Every example of the manual is a file that can be read. */
static void
test_manual_examples(void **state)
{
    char *manual = file_text(MANUAL), *at = strstr(manual, "\n.Sh EXAMPLES\n");
    size_t count = 0;

    (void)state;
    assert_non_null(at);
    for (at = strstr(at, "\n.Bd "); at != NULL; at = strstr(at, "\n.Bd "), count++) {
        char *start = strchr(at + 1, '\n'), *end = strstr(at, "\n.Ed\n");
        struct conf_faults faults;
        struct conf *conf;

        assert_true(start != NULL && end != NULL);
        conf = conf_load_text((struct str){start, (size_t)(end - start)}, "example", &faults);
        for (size_t i = 0; i < faults.count; i++)
            if (!faults.at[i].warning)
                print_error("%u: %s\n", faults.at[i].line, faults.at[i].message);
        assert_non_null(conf);
        conf_faults_free(&faults);
        conf_free(&conf);
        at = end;
    }
    assert_int_equal(count, 5);
    free(manual);
}

/* ---- the sample ---------------------------------------------------------------------------- */

/* It runs as it is: without any key in the environment there is still something to call. */
static void
test_sample(void **state)
{
    struct conf_faults faults;
    struct conf *conf;
    int sim;

    (void)state;
    unsetenv("OPENAI_API_KEY");
    unsetenv("ANTHROPIC_API_KEY");
    conf = conf_load(SAMPLE, &faults);
    for (size_t i = 0; i < faults.count; i++)
        if (!faults.at[i].warning)
            print_error(SAMPLE ":%u: %s\n", faults.at[i].line, faults.at[i].message);
    assert_non_null(conf);
    for (size_t i = 0; i < faults.count; i++)
        assert_non_null(strstr(faults.at[i].message, " is disabled: the environment variable "));
    sim = conf_model_index(conf, STR("sim-small"));
    assert_true(sim != CONF_NONE);
    for (int i = 0; i < 2; i++) {
        int idx = conf_upstream_index(conf, i == 0 ? STR("sim") : STR("sim-anthropic"));

        assert_true(idx != CONF_NONE);
        assert_null(conf->upstreams[idx].disabled_reason);
        assert_true(conf_upstream_serves(&conf->upstreams[idx], &conf->models[sim]));
        assert_int_equal(conf->upstreams[idx].port, 8081);
    }
    for (size_t i = 0; i < conf->channel_count; i++)
        assert_true(conf->channels[i].is_public);
    conf_faults_free(&faults);
    conf_free(&conf);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_manual),
        cmocka_unit_test(test_manual_examples),
        cmocka_unit_test(test_sample),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
