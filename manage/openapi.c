/*
 * The OpenAPI 3.1 document, from the tables of operations and schemas and nothing else.
 *
 * Beside what the standard has, an operation says who may call it: x-permission is the permission it needs, x-own the
 * one that is enough for one's own things, x-roles the roles that have either, x-scopes the scopes of keys, x-refusals
 * the codes that it adds to those that all have.
 */
#include "manage/api_in.h"

#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "base/version.h"

#define CREDITS_PATTERN "^-?[0-9]+(\\\\.[0-9]{1,6})?$"

static void fields_write(struct jw *jw, const struct field *fields, bool answer);

/* ---- types ---- */

static void
type_write(struct jw *jw, const char *type, const struct field *field, bool nullable)
{
    if (!nullable) {
        jw_key_cstr(jw, "type", type);
    } else {
        jw_key(jw, "type");
        jw_array(jw);
        jw_cstr(jw, type);
        jw_cstr(jw, "null");
        jw_array_end(jw);
    }
    (void)field;
}

static void
values_write(struct jw *jw, const struct field *field, bool nullable)
{
    if (field->values == NULL)
        return;
    jw_key(jw, "enum");
    jw_array(jw);
    for (const char *const *value = field->values; *value != NULL; value++)
        jw_cstr(jw, *value);
    if (nullable)
        jw_null(jw);
    jw_array_end(jw);
}

static void
text_write(struct jw *jw, const struct field *field, bool answer, int64_t max)
{
    type_write(jw, "string", field, field->nullable);
    if (answer)
        return;
    if (field->min > 0)
        jw_key_i64(jw, "minLength", field->min);
    jw_key_i64(jw, "maxLength", field->max > 0 ? field->max : max);
}

static void
int_write(struct jw *jw, const struct field *field, bool answer)
{
    type_write(jw, "integer", field, field->nullable);
    if (answer)
        return;
    jw_key_i64(jw, "minimum", field->type == FIELD_ID ? 1 : field->min);
    jw_key_i64(jw, "maximum", field->type == FIELD_ID || field->max == 0 ? UINT32_MAX : field->max);
}

static void
ref_write(struct jw *jw, const char *name)
{
    struct buf text;

    buf_init(&text, 512);
    buf_add_fmt(&text, "#/components/schemas/%s", name);
    jw_key_str(jw, "$ref", buf_str(&text));
    buf_free(&text);
}

/* An object's members, or where they are. */
static void
object_write(struct jw *jw, const struct field *field, bool answer, bool nullable)
{
    if (field->ref != NULL && nullable) {
        jw_key(jw, "anyOf");
        jw_array(jw);
        jw_object(jw);
        ref_write(jw, field->ref);
        jw_object_end(jw);
        jw_object(jw);
        jw_key_cstr(jw, "type", "null");
        jw_object_end(jw);
        jw_array_end(jw);
    } else if (field->ref != NULL) {
        ref_write(jw, field->ref);
    } else {
        type_write(jw, "object", field, nullable);
        if (field->members != NULL)
            fields_write(jw, field->members, answer);
    }
}

static void
list_write(struct jw *jw, const struct field *field, bool answer)
{
    type_write(jw, "array", field, field->nullable);
    jw_key(jw, "items");
    jw_object(jw);
    if (field->type == FIELD_STRINGS) {
        jw_key_cstr(jw, "type", "string");
        values_write(jw, field, false);
    } else if (field->type == FIELD_INTS) {
        jw_key_cstr(jw, "type", "integer");
    } else {
        object_write(jw, field, answer, false);
    }
    jw_object_end(jw);
    if (answer)
        return;
    if (field->min > 0)
        jw_key_i64(jw, "minItems", field->min);
    jw_key_i64(jw, "maxItems", field->max > 0 ? field->max : 100);
}

/* The members of a field's schema, without its doc. */
static void
field_write(struct jw *jw, const struct field *field, bool answer)
{
    switch (field->type) {
    case FIELD_STRING: text_write(jw, field, answer, 256); break;
    case FIELD_TEXT: text_write(jw, field, answer, 65536); break;
    case FIELD_SECRET:
        text_write(jw, field, answer, 256);
        jw_key_cstr(jw, "format", "password");
        if (!answer)
            jw_key_bool(jw, "writeOnly", true);
        break;
    case FIELD_EMAIL:
        type_write(jw, "string", field, field->nullable);
        jw_key_cstr(jw, "format", "email");
        break;
    case FIELD_ID:
    case FIELD_INT: int_write(jw, field, answer); break;
    case FIELD_CREDITS:
    case FIELD_DECIMAL:
        type_write(jw, "string", field, field->nullable);
        jw_key_quoted(jw, "pattern", STR(CREDITS_PATTERN));
        break;
    case FIELD_TIME:
        type_write(jw, "string", field, field->nullable);
        if (answer)
            jw_key_cstr(jw, "format", "date-time");
        break;
    case FIELD_BUDGET: type_write(jw, "string", field, field->nullable); break;
    case FIELD_URL:
        type_write(jw, "string", field, field->nullable);
        jw_key_cstr(jw, "format", "uri");
        break;
    case FIELD_BOOL: type_write(jw, "boolean", field, field->nullable); break;
    case FIELD_ENUM:
        type_write(jw, "string", field, field->nullable);
        values_write(jw, field, field->nullable);
        break;
    case FIELD_STRINGS:
    case FIELD_INTS:
    case FIELD_OBJECTS: list_write(jw, field, answer); break;
    case FIELD_OBJECT: object_write(jw, field, answer, field->nullable); break;
    case FIELD_ANY:
    case FIELD_TYPE_COUNT: break;
    }
}

static void
field_schema(struct jw *jw, const struct field *field, bool answer)
{
    jw_object(jw);
    field_write(jw, field, answer);
    if (field->doc != NULL)
        jw_key_cstr(jw, "description", field->doc);
    if (field->example != NULL) {
        jw_key(jw, "examples");
        jw_array(jw);
        jw_raw(jw, str_from(field->example));
        jw_array_end(jw);
    }
    jw_object_end(jw);
}

static void
fields_write(struct jw *jw, const struct field *fields, bool answer)
{
    jw_key(jw, "properties");
    jw_object(jw);
    for (const struct field *field = fields; field->name != NULL; field++) {
        jw_key(jw, field->name);
        field_schema(jw, field, answer);
    }
    jw_object_end(jw);
    jw_key(jw, "required");
    jw_array(jw);
    for (const struct field *field = fields; field->name != NULL; field++)
        if (answer ? !field->optional : field->required)
            jw_cstr(jw, field->name);
    jw_array_end(jw);
    if (!answer)
        jw_key_bool(jw, "additionalProperties", false);
}

/* ---- operations ---- */

static void
params_write(struct jw *jw, const struct op *op)
{
    jw_key(jw, "parameters");
    jw_array(jw);
    for (const struct field *field = op->params; field != NULL && field->name != NULL; field++) {
        jw_object(jw);
        jw_key_cstr(jw, "name", field->name);
        jw_key_cstr(jw, "in", field->in == IN_PATH ? "path" : "query");
        jw_key_bool(jw, "required", field->in == IN_PATH || field->required);
        if (field->doc != NULL)
            jw_key_cstr(jw, "description", field->doc);
        if (field->type == FIELD_STRINGS) {
            jw_key_cstr(jw, "style", "form");
            jw_key_bool(jw, "explode", false);
        }
        jw_key(jw, "schema");
        field_schema(jw, field, false);
        jw_object_end(jw);
    }
    if (strcmp(op->method, "GET") != 0) {
        jw_object(jw);
        jw_key_cstr(jw, "$ref", "#/components/parameters/IdempotencyKey");
        jw_object_end(jw);
    }
    jw_array_end(jw);
}

static void
content_begin(struct jw *jw, const char *type)
{
    jw_key(jw, "content");
    jw_object(jw);
    jw_key(jw, type);
    jw_object(jw);
    jw_key(jw, "schema");
    jw_object(jw);
}

static void
content_end(struct jw *jw)
{
    jw_object_end(jw);
    jw_object_end(jw);
    jw_object_end(jw);
}

static void
body_write(struct jw *jw, const struct op *op)
{
    bool required = false;

    if (op->body == NULL)
        return;
    for (const struct field *field = op->body; field->name != NULL; field++)
        required |= field->required;
    jw_key(jw, "requestBody");
    jw_object(jw);
    jw_key_bool(jw, "required", required);
    content_begin(jw, "application/json");
    jw_key_cstr(jw, "type", "object");
    fields_write(jw, op->body, false);
    content_end(jw);
    jw_object_end(jw);
}

static void
refusal_write(struct jw *jw, const struct op *op, unsigned status)
{
    struct buf text;
    char digits[16];

    snprintf(digits, sizeof digits, "%u", status);
    buf_init(&text, 2048);
    buf_add_fmt(&text, "Refused:");
    for (const struct op_refusal *refusal = op->refusals; refusal != NULL && refusal->status != 0; refusal++)
        if (refusal->status == status)
            buf_add_fmt(&text, " %s", refusal->code);
    jw_key(jw, digits);
    jw_object(jw);
    jw_key_str(jw, "description", text.len > 8 ? buf_str(&text) : STR("Refused."));
    content_begin(jw, PROBLEM_TYPE);
    ref_write(jw, "Problem");
    content_end(jw);
    jw_object_end(jw);
    buf_free(&text);
}

static bool
refuses(const struct op *op, unsigned status)
{
    bool has_path = false;

    for (const struct op_refusal *refusal = op->refusals; refusal != NULL && refusal->status != 0; refusal++)
        if (refusal->status == status)
            return true;
    for (const struct field *field = op->params; field != NULL && field->name != NULL; field++)
        has_path |= field->in == IN_PATH;
    switch (status) {
    case 400:
    case 415: return op->body != NULL;
    case 401:
    case 403: return op->perm != PERM_NONE;
    case 404: return has_path;
    case 422: return op->body != NULL || op->params != NULL;
    case 429:
    case 503: return true;
    default: return false;
    }
}

static void
responses_write(struct jw *jw, const struct op *op)
{
    static const unsigned statuses[] = {400, 401, 402, 403, 404, 409, 410, 413, 415, 422, 423, 429, 502, 503};
    unsigned status = op->status != 0 ? op->status : 200;
    char digits[16];

    jw_key(jw, "responses");
    jw_object(jw);
    snprintf(digits, sizeof digits, "%u", status);
    jw_key(jw, digits);
    jw_object(jw);
    jw_key_cstr(jw, "description", "Done.");
    if (op->type != NULL) {
        content_begin(jw, op->type);
        jw_key_cstr(jw, "type", strcmp(op->type, "application/json") == 0 ? "object" : "string");
        content_end(jw);
    } else if (op->result != NULL) {
        content_begin(jw, "application/json");
        ref_write(jw, op->result);
        content_end(jw);
    }
    jw_object_end(jw);
    for (size_t i = 0; i < COUNT_OF(statuses); i++)
        if (refuses(op, statuses[i]))
            refusal_write(jw, op, statuses[i]);
    jw_object_end(jw);
}

static void
security_write(struct jw *jw, const struct op *op)
{
    jw_key(jw, "security");
    jw_array(jw);
    if (op->perm == PERM_NONE) {
        jw_object(jw);
        jw_object_end(jw);
    } else {
        jw_object(jw);
        jw_key(jw, "session");
        jw_array(jw);
        jw_array_end(jw);
        if (strcmp(op->method, "GET") != 0 && (op->flags & OP_NO_CSRF) == 0) {
            jw_key(jw, "csrf");
            jw_array(jw);
            jw_array_end(jw);
        }
        jw_object_end(jw);
        if (op->scopes != 0) {
            jw_object(jw);
            jw_key(jw, "key");
            jw_array(jw);
            jw_array_end(jw);
            jw_object_end(jw);
        }
    }
    jw_array_end(jw);
}

static void
permission_write(struct jw *jw, const struct op *op)
{
    static const enum scope scopes[] = {SCOPE_INFERENCE, SCOPE_USAGE, SCOPE_MANAGE};

    jw_key_cstr(jw, "x-permission", perm_name[op->perm]);
    if (op->own != PERM_NONE)
        jw_key_cstr(jw, "x-own", perm_name[op->own]);
    jw_key(jw, "x-roles");
    jw_array(jw);
    for (int role = ROLE_OWNER; role < ROLE_COUNT; role++)
        if (role_may((enum role)role, op->perm) ||
            (op->own != PERM_NONE && role_may((enum role)role, op->own)))
            jw_cstr(jw, role_name[role]);
    jw_array_end(jw);
    jw_key(jw, "x-scopes");
    jw_array(jw);
    for (size_t i = 0; i < COUNT_OF(scopes); i++)
        if (op->scopes & scopes[i])
            jw_cstr(jw, scope_name(scopes[i]));
    jw_array_end(jw);
    jw_key(jw, "x-refusals");
    jw_array(jw);
    for (const struct op_refusal *refusal = op->refusals; refusal != NULL && refusal->status != 0; refusal++)
        jw_cstr(jw, refusal->code);
    jw_array_end(jw);
}

static void
op_write(struct jw *jw, const struct op *op)
{
    struct str doc = str_from(op->doc), id = str_from(op->id), rest;
    size_t end = str_find(doc, '.', 0);
    char method[8] = "";

    for (size_t i = 0; i < sizeof method - 1 && op->method[i] != '\0'; i++)
        method[i] = (char)(op->method[i] | 0x20);
    jw_key(jw, method);
    jw_object(jw);
    jw_key_str(jw, "operationId", id);
    jw_key_str(jw, "summary", (struct str){doc.ptr, end});
    jw_key_str(jw, "description", doc);
    jw_key(jw, "tags");
    jw_array(jw);
    jw_str(jw, str_split(id, '.', &rest));
    jw_array_end(jw);
    permission_write(jw, op);
    security_write(jw, op);
    params_write(jw, op);
    body_write(jw, op);
    responses_write(jw, op);
    jw_object_end(jw);
}

/* ---- the document ---- */

/* Each path once, with all its methods: whoever has written it already is found by walking from the start. */
static bool
path_is_new(const struct op *const *tables, const struct op *op)
{
    for (; *tables != NULL; tables++)
        for (const struct op *other = *tables; other->id != NULL; other++) {
            if (other == op)
                return true;
            if (strcmp(other->path, op->path) == 0)
                return false;
        }
    return true;
}

static void
paths_write(struct jw *jw, const struct op *const *tables)
{
    jw_key(jw, "paths");
    jw_object(jw);
    for (const struct op *const *table = tables; *table != NULL; table++)
        for (const struct op *op = *table; op->id != NULL; op++) {
            if (!path_is_new(tables, op))
                continue;
            jw_key_of(jw, str_from(op->path));
            jw_object(jw);
            for (const struct op *const *t = tables; *t != NULL; t++)
                for (const struct op *same = *t; same->id != NULL; same++)
                    if (strcmp(same->path, op->path) == 0)
                        op_write(jw, same);
            jw_object_end(jw);
        }
    jw_object_end(jw);
}

static void
components_write(struct jw *jw, const struct schema *const *tables)
{
    static const char security[] =
        "{\"session\":{\"type\":\"apiKey\",\"in\":\"cookie\",\"name\":\"__Host-turnpike\",\"description\":\"Of a person "
        "who signed in; without TLS its name is turnpike.\"},\"csrf\":{\"type\":\"apiKey\",\"in\":\"header\",\"name\":"
        "\"x-csrf-token\",\"description\":\"With the session's cookie, for all that changes something: csrf of GET "
        "/api/v1/session.\"},\"key\":{\"type\":\"http\",\"scheme\":\"bearer\",\"bearerFormat\":\"sk-…\",\"description\":"
        "\"A key with the scope that the operation names in x-scopes.\"}}";
    static const char parameters[] =
        "{\"IdempotencyKey\":{\"name\":\"idempotency-key\",\"in\":\"header\",\"required\":false,\"description\":\"The same "
        "request with the same key within 24 hours is done once, and answered alike.\",\"schema\":{\"type\":\"string\","
        "\"maxLength\":128}}}";

    jw_key(jw, "components");
    jw_object(jw);
    jw_key(jw, "securitySchemes");
    jw_raw(jw, STR(security));
    jw_key(jw, "parameters");
    jw_raw(jw, STR(parameters));
    jw_key(jw, "schemas");
    jw_object(jw);
    for (; *tables != NULL; tables++)
        for (const struct schema *schema = *tables; schema->name != NULL; schema++) {
            jw_key(jw, schema->name);
            jw_object(jw);
            jw_key_cstr(jw, "type", "object");
            if (schema->doc != NULL)
                jw_key_cstr(jw, "description", schema->doc);
            fields_write(jw, schema->members, true);
            jw_object_end(jw);
        }
    jw_object_end(jw);
    jw_object_end(jw);
}

void
openapi_write(struct buf *out, const struct op *const *tables, const struct schema *const *schemas)
{
    struct jw jw;

    jw_init(&jw, out);
    jw_object(&jw);
    jw_key_cstr(&jw, "openapi", "3.1.0");
    jw_key(&jw, "info");
    jw_object(&jw);
    jw_key_cstr(&jw, "title", "turnpike management API");
    jw_key_cstr(&jw, "version", turnpike_version);
    jw_key_cstr(&jw, "description",
                "Organisations, members, projects, keys, limits, usage and credit. Money is a string of credits with up "
                "to six decimals, times are RFC 3339 in UTC. Refusals are problem details (RFC 9457) with a stable code.");
    jw_object_end(&jw);
    jw_key(&jw, "servers");
    jw_raw(&jw, STR("[{\"url\":\"/\"}]"));
    paths_write(&jw, tables);
    components_write(&jw, schemas);
    jw_object_end(&jw);
    buf_add_char(out, '\n');
}
