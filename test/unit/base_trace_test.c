/* Trace Context: what is a traceparent and what is not, and the IDs that follow from a call's. */
#include "base/trace.h"

#include "base/str.h"
#include "test/unit/testing.h"

#define GOOD "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

static void
test_parse(void **state)
{
    static const char *const bad[] = {
        "",
        "00",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0",
        GOOD "-",
        GOOD " ",
        GOOD "-00",
        "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00F067aa0ba902b7-01",
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        "00-4bf92f3577b34da6a3ce929d0e0e473g-00f067aa0ba902b7-01",
        "00_4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736 00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7_01",
        "0x-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0x",
        "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01.",
    };
    static const char *const good[] = {
        GOOD,
        "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "fe-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
    };
    struct trace_parent parent;
    char text[TRACE_PARENT_LEN + 1];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        if (trace_parse(str_from(bad[i]), &parent))
            fail_msg("taken: %s", bad[i]);
    for (size_t i = 0; i < COUNT_OF(good); i++) {
        assert_true(trace_parse(str_from(good[i]), &parent));
        assert_int_equal(parent.trace_id[0], 0x4b);
        assert_int_equal(parent.span_id[7], 0xb7);
        assert_int_equal(parent.flags, TRACE_SAMPLED);
        trace_text(&parent, text);
        assert_string_equal(text, GOOD); /* in the version that we know */
    }
    assert_false(trace_parse(STR_NONE, &parent));
}

/* Cut anywhere, at the end of readable memory. */
static void
test_cut(void **state)
{
    struct trace_parent parent;

    (void)state;
    for (size_t len = 0; len < TRACE_PARENT_LEN; len++) {
        char *bytes = malloc(len + 1);

        memcpy(bytes, GOOD, len);
        assert_false(trace_parse((struct str){bytes, len}, &parent));
        free(bytes);
    }
}

static void
test_spans(void **state)
{
    const uint8_t call[16] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
    uint8_t id[8][TRACE_SPAN_BYTES], again[TRACE_SPAN_BYTES], zero[TRACE_SPAN_BYTES] = {0};

    (void)state;
    for (unsigned n = 0; n < 8; n++) {
        trace_span_id(call, n, id[n]);
        trace_span_id(call, n, again);
        assert_memory_equal(id[n], again, sizeof(again));
        assert_memory_not_equal(id[n], zero, sizeof(zero));
        for (unsigned k = 0; k < n; k++)
            assert_memory_not_equal(id[n], id[k], sizeof(id[n]));
    }
}

static void
test_sample(void **state)
{
    unsigned taken = 0;

    (void)state;
    for (uint64_t seed = 0; seed < 100000; seed++) {
        assert_false(trace_sampled(seed, 0));
        assert_true(trace_sampled(seed, 1000000));
        taken += trace_sampled(seed, 10000);
        assert_true(!trace_sampled(seed, 10000) || trace_sampled(seed, 20000));
    }
    assert_in_range(taken, 900, 1100);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse),
        cmocka_unit_test(test_cut),
        cmocka_unit_test(test_spans),
        cmocka_unit_test(test_sample),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
