#include "manage/problem.h"

#include <stdio.h>

#include "base/str.h"
#include "base/ucr.h"

/* ---- one fault ---- */

static void
write_number(struct buf *out, const struct field *field, int64_t n)
{
    char text[UCR_TEXT_LEN + 1];

    if (field->type == FIELD_CREDITS || field->type == FIELD_DECIMAL) {
        ucr_text(n, text);
        buf_add_str(out, str_from(text));
    } else {
        buf_add_i64(out, n);
    }
}

static int64_t
max_of(const struct field *field)
{
    if (field->type == FIELD_ID)
        return UINT32_MAX;
    if (field->max != 0)
        return field->max;
    switch (field->type) {
    case FIELD_INT: return UINT32_MAX;
    case FIELD_CREDITS: return INT64_C(1) << 60;
    case FIELD_DECIMAL: return 1000000;
    case FIELD_TEXT: return 65536;
    case FIELD_STRINGS:
    case FIELD_INTS:
    case FIELD_OBJECTS: return 100;
    default: return 256;
    }
}

static const char *
form_of(const struct field *field, enum lang lang)
{
    static const char *const forms[FIELD_TYPE_COUNT][LANG_COUNT] = {
        [FIELD_EMAIL] = {"an e-mail address", "电子邮箱地址"},
        [FIELD_ID] = {"a whole number", "整数"},
        [FIELD_INT] = {"a whole number", "整数"},
        [FIELD_CREDITS] = {"an amount as a string with at most six decimals, such as \"12.5\"",
                           "金额字符串，最多六位小数，例如 \"12.5\""},
        [FIELD_DECIMAL] = {"a decimal number as a string, such as \"0.3\"", "小数字符串，例如 \"0.3\""},
        [FIELD_BUDGET] = {"a budget, such as \"100\" or \"100/month\"", "预算，例如 \"100\" 或 \"100/month\""},
        [FIELD_TIME] = {"a time, such as 2026-11-21T03:04:05Z, a date, or a span such as 24h",
                        "时间，例如 2026-11-21T03:04:05Z、日期，或时长，例如 24h"},
        [FIELD_BOOL] = {"true or false", "true 或 false"},
        [FIELD_STRINGS] = {"a list of strings", "字符串列表"},
        [FIELD_INTS] = {"a list of whole numbers", "整数列表"},
        [FIELD_OBJECT] = {"an object", "对象"},
        [FIELD_OBJECTS] = {"a list of objects", "对象列表"},
        [FIELD_URL] = {"a URL that begins with https:// or http://", "以 https:// 或 http:// 开头的网址"},
    };
    const char *form = forms[field->type][lang];

    return form != NULL ? form : lang == LANG_ZH ? "字符串" : "a string";
}

static void
write_values(struct buf *out, const struct field *field, enum lang lang)
{
    for (const char *const *value = field->values; value != NULL && *value != NULL; value++) {
        if (value != field->values)
            buf_add_str(out, lang == LANG_ZH ? STR("、") : STR(", "));
        buf_add_str(out, str_from(*value));
    }
}

static bool
is_list(const struct field *field)
{
    return field->type == FIELD_STRINGS || field->type == FIELD_INTS || field->type == FIELD_OBJECTS;
}

static void
fault_write_en(struct buf *out, const struct fault *fault)
{
    const struct field *field = fault->field;

    switch (fault->kind) {
    case FAULT_REQUIRED: buf_add_fmt(out, "This is required."); break;
    case FAULT_UNKNOWN: buf_add_fmt(out, "There is no such field."); break;
    case FAULT_DUPLICATE: buf_add_fmt(out, "This is given more than once."); break;
    case FAULT_CHARACTERS: buf_add_fmt(out, "This holds characters that are not allowed."); break;
    case FAULT_TYPE:
    case FAULT_INVALID: buf_add_fmt(out, "This must be %s.", form_of(field, LANG_EN)); break;
    case FAULT_TOO_LONG:
        buf_add_fmt(out, "At most %lld %s.", (long long)max_of(field), is_list(field) ? "entries" : "characters");
        break;
    case FAULT_TOO_SHORT:
        buf_add_fmt(out, "At least %lld %s.", (long long)field->min, is_list(field) ? "entries" : "characters");
        break;
    case FAULT_RANGE:
        buf_add_fmt(out, "This must be from ");
        write_number(out, field, field->type == FIELD_ID ? 1 : field->min);
        buf_add_fmt(out, " to ");
        write_number(out, field, max_of(field));
        buf_add_char(out, '.');
        break;
    case FAULT_CHOICE:
        buf_add_fmt(out, "This must be one of: ");
        write_values(out, field, LANG_EN);
        buf_add_char(out, '.');
        break;
    case FAULT_KIND_COUNT: break;
    }
}

static void
fault_write_zh(struct buf *out, const struct fault *fault)
{
    const struct field *field = fault->field;

    switch (fault->kind) {
    case FAULT_REQUIRED: buf_add_fmt(out, "此项为必填项。"); break;
    case FAULT_UNKNOWN: buf_add_fmt(out, "没有这个字段。"); break;
    case FAULT_DUPLICATE: buf_add_fmt(out, "此项重复出现。"); break;
    case FAULT_CHARACTERS: buf_add_fmt(out, "包含不允许的字符。"); break;
    case FAULT_TYPE:
    case FAULT_INVALID: buf_add_fmt(out, "必须是%s。", form_of(field, LANG_ZH)); break;
    case FAULT_TOO_LONG:
        buf_add_fmt(out, "最多 %lld 个%s。", (long long)max_of(field), is_list(field) ? "条目" : "字符");
        break;
    case FAULT_TOO_SHORT:
        buf_add_fmt(out, "至少 %lld 个%s。", (long long)field->min, is_list(field) ? "条目" : "字符");
        break;
    case FAULT_RANGE:
        buf_add_fmt(out, "取值范围为 ");
        write_number(out, field, field->type == FIELD_ID ? 1 : field->min);
        buf_add_fmt(out, " 至 ");
        write_number(out, field, max_of(field));
        buf_add_fmt(out, "。");
        break;
    case FAULT_CHOICE:
        buf_add_fmt(out, "必须是以下之一：");
        write_values(out, field, LANG_ZH);
        buf_add_fmt(out, "。");
        break;
    case FAULT_KIND_COUNT: break;
    }
}

static void
fault_write(struct jw *jw, const struct fault *fault, enum lang lang)
{
    static const char *const in[] = {[IN_BODY] = "body", [IN_PATH] = "path", [IN_QUERY] = "query"};
    struct buf text;

    buf_init(&text, 8192);
    if (lang == LANG_ZH)
        fault_write_zh(&text, fault);
    else
        fault_write_en(&text, fault);
    jw_object(jw);
    jw_key_str(jw, "field", fault->path);
    jw_key_cstr(jw, "in", in[fault->in]);
    jw_key_cstr(jw, "code", fault_code[fault->kind]);
    jw_key_str(jw, "detail", buf_str(&text));
    jw_object_end(jw);
    buf_free(&text);
}

/* ---- the document ---- */

const struct problem_text *
problem_find(struct str code)
{
    for (const struct problem_text *text = problem_texts; text->code != NULL; text++)
        if (str_eq(code, str_from(text->code)))
            return text;
    return NULL;
}

/* Sentences are the ledger's "why": without a capital and full stop. */
static void
sentence(struct buf *out, struct str text)
{
    if (text.len == 0)
        return;
    if (out->len > 0)
        buf_add_char(out, ' ');
    buf_add_char(out, text.ptr[0] >= 'a' && text.ptr[0] <= 'z' ? (char)(text.ptr[0] - 32) : text.ptr[0]);
    buf_add(out, text.ptr + 1, text.len - 1);
    if (text.ptr[text.len - 1] != '.' && text.ptr[text.len - 1] != '!' && text.ptr[text.len - 1] != '?')
        buf_add_char(out, '.');
}

/* The ledger's exact words are in English: in another language the code's own text is told when there is one. */
static void
detail_of(struct buf *out, const struct problem *problem, const struct problem_text *text)
{
    if (text != NULL && text->detail[problem->lang] != NULL &&
        (problem->lang != LANG_EN || problem->detail.len == 0)) {
        buf_add_str(out, str_from(text->detail[problem->lang]));
        return;
    }
    sentence(out, problem->detail);
    sentence(out, problem->hint);
}

static void
errors_write(struct jw *jw, const struct problem *problem, struct str detail)
{
    jw_key(jw, "errors");
    jw_array(jw);
    for (unsigned i = 0; problem->faults != NULL && i < problem->faults->count; i++)
        fault_write(jw, &problem->faults->list[i], problem->lang);
    if (problem->field.len > 0) {
        jw_object(jw);
        jw_key_str(jw, "field", problem->field);
        jw_key_str(jw, "code", problem->code);
        jw_key_str(jw, "detail", detail);
        jw_object_end(jw);
    }
    jw_array_end(jw);
}

void
problem_write(struct buf *out, const struct problem *problem)
{
    const struct problem_text *text = problem_find(problem->code);
    struct buf part;
    struct jw jw;

    buf_init(&part, 8192);
    jw_init(&jw, out);
    jw_object(&jw);
    buf_add_str(&part, STR("/api/v1/problems#"));
    buf_add_str(&part, problem->code);
    jw_key_str(&jw, "type", buf_str(&part));
    jw_key_str(&jw, "title", text != NULL ? str_from(text->title[problem->lang]) : problem->code);
    jw_key_u64(&jw, "status", problem->status);
    jw_key_str(&jw, "code", problem->code);
    part.len = 0;
    detail_of(&part, problem, text);
    jw_key_str(&jw, "detail", buf_str(&part));
    jw_key_str(&jw, "request_id", problem->request_id);
    if (problem->faults != NULL || problem->field.len > 0)
        errors_write(&jw, problem, buf_str(&part));
    jw_object_end(&jw);
    buf_add_char(out, '\n');
    buf_free(&part);
}

unsigned
problem_status(int exit_status, bool absent, bool has_field)
{
    if (absent && !has_field)
        return 404;
    switch (exit_status) {
    case 2: return has_field ? 422 : 400;
    case 75: return 503;
    case 77: return 403;
    case 78: return 422;
    default: return 409;
    }
}
