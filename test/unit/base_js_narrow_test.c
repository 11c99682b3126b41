/* The JSON reader as machines without AVX2 have it, under the same tests. */
#define SCAN_NARROW

#include "base/js.c"
#include "base/js_check.c"
#include "base/js_string.c"

#include "test/unit/base_js_test.c"
