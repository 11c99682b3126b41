/* What is answered while nothing above requests is built in. */
#include "base/buf.h"
#include "base/str.h"
#include "manage/manage.h"
#include "manage/request.h"

int
manage_begin(struct manage *manage)
{
    (void)manage;
    return 0;
}

void
manage_end(struct manage *manage)
{
    (void)manage;
}

static void
no_console(struct request *request)
{
    static const char page[] =
        "<!doctype html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><title>turnpike</title></head>\n<body>\n"
        "<h1>turnpike</h1>\n<p>The web console is not built into this program. The management API is described at "
        "<a href=\"/api/openapi.json\">/api/openapi.json</a>.</p>\n</body>\n</html>\n";

    request_head(request, 200);
    request_header(request, "content-type", STR("text/html; charset=utf-8"));
    request_header(request, "content-security-policy", STR("default-src 'none'; frame-ancestors 'none'"));
    request_header(request, "cache-control", STR("no-cache"));
    request_send(request, STR(page));
}

static void
no_such_path(struct request *request)
{
    request_head(request, 404);
    request_header(request, "content-type", STR("application/problem+json"));
    request_send(request, STR("{\"type\":\"about:blank\",\"title\":\"Not Found\",\"status\":404,"
                              "\"code\":\"not_found\",\"detail\":\"There is nothing here.\"}\n"));
}

void
manage_handle(struct request *request)
{
    bool api = str_eq(request->path, STR("/api")) || str_starts_with(request->path, STR("/api/")) ||
               str_starts_with(request->path, STR("/assets/"));

    if (!api && (str_eq(request->method, STR("GET")) || str_eq(request->method, STR("HEAD"))))
        no_console(request);
    else
        no_such_path(request);
}
