"""Who calls the management API in tests, and what its own document says about it."""

from conftest import base_conf

ROLES = ["owner", "admin", "billing", "developer", "viewer"]
# A hash that no password has: these people sign in by a session that is made for them.
HASH = "$argon2id$v=19$m=65536,t=2,p=1$c2FsdHNhbHRzYWx0$aGFzaGhhc2hoYXNoaGFzaA"


class Caller:
    """Somebody who is signed in, or a key."""

    def __init__(self, server, session=None, key=None):
        self.server, self.session, self.key = server, session, key

    def send(self, method, path, body=None, headers=(), csrf=True):
        headers, cookies = dict(headers), None
        if self.session:
            cookies = {"turnpike": self.session["token"]}
            if csrf:
                headers.setdefault("x-csrf-token", self.session["csrf"])
        if self.key:
            headers["authorization"] = f"Bearer {self.key}"
        return self.server.api(method, path, json=body, headers=headers, cookies=cookies)


def sign_in(server, person):
    return Caller(server, server.ask("session.open", person=person, seconds=3600))


class Tenant:
    """A tenant with somebody of each role."""

    def __init__(self, server, name):
        made = server.ask("person.register", email=f"owner@{name}.test", verified=True, agreed=True, name="Owner",
                          tenant_name=name, password=HASH)
        self.id, self.name = made["tenant"], name
        self.people = {"owner": sign_in(server, made["person"])}
        for role in ROLES[1:]:
            invite = server.ask("invite.add", tenant=self.id, role=role, email=f"{role}@{name}.test",
                                only_role="owner")
            joined = server.ask("invite.accept", token=invite["token"], agreed=True, name=role, password=HASH)
            self.people[role] = sign_in(server, joined["person"])
        self.owner = self.people["owner"]


class World:
    def __init__(self, start, upstream):
        self.server = start(base_conf(upstream.port) + "manage { registration = open }\n", workers=1)
        self.server.manage_pid()
        self.ours, self.theirs = Tenant(self.server, "ours"), Tenant(self.server, "theirs")
        made = self.server.ask("admin.add", email="root@example.org")
        self.operator = sign_in(self.server, made["id"])
        self.nobody = Caller(self.server)
        self.document = self.server.api("GET", "/api/openapi.json").json
        self.operations = [Operation(self.document, path, method, o) for path, methods in self.document["paths"].items()
                           for method, o in methods.items()]


class Operation:
    def __init__(self, document, path, method, described):
        self.document, self.path, self.method, self.described = document, path, method.upper(), described
        self.id, self.permission = described["operationId"], described["x-permission"]
        self.roles, self.scopes = described["x-roles"], described["x-scopes"]

    def __repr__(self):
        return f"{self.id} {self.method} {self.path}"

    @property
    def in_tenant(self):
        return self.permission not in ("none", "self") and not self.permission.startswith("platform.")

    @property
    def placeholders(self):
        return [p["name"] for p in self.described["parameters"] if p.get("in") == "path"]

    def at(self, id=1):
        """With that ID for each that is one, and words where there are words to choose from."""
        path = self.path
        for parameter in self.described["parameters"]:
            if parameter.get("in") == "path":
                kind = parameter["schema"].get("type")
                value = id if kind == "integer" else example(parameter["schema"])
                path = path.replace("{" + parameter["name"] + "}", str(value))
        return path

    @property
    def of_id(self):
        return any(p.get("in") == "path" and p["schema"].get("type") == "integer" for p in self.described["parameters"])

    def body(self):
        """Of what must be there, or else of the first there is, as the document's examples have it. None: it takes no body."""
        if "requestBody" not in self.described:
            return None
        schema = self.described["requestBody"]["content"]["application/json"]["schema"]
        names = schema["required"] or list(schema["properties"])[:1]
        return {name: example(schema["properties"][name]) for name in names}

    @property
    def schema(self):
        """Of an answer in JSON; None: of another kind."""
        for status, answer in self.described["responses"].items():
            ref = answer.get("content", {}).get("application/json", {}).get("schema", {}).get("$ref")
            if status.startswith("2") and ref:
                return self.document["components"]["schemas"][ref.rpartition("/")[2]]
        return None


def example(schema):
    if schema.get("examples"):
        return schema["examples"][0]
    if "enum" in schema:
        return schema["enum"][0]
    kind = schema.get("type")
    kind = kind[0] if isinstance(kind, list) else kind
    if kind == "object":
        return {name: example(schema["properties"][name]) for name in schema.get("required", ())}
    if kind == "array":
        return [example(schema["items"])] * schema.get("minItems", 0)
    if schema.get("format") == "email":
        return "someone@example.org"
    if schema.get("format") == "uri":
        return "https://example.org/"
    if "pattern" in schema:
        return "1"
    return {"string": "x" * max(1, schema.get("minLength", 1)), "integer": schema.get("minimum", 1),
            "boolean": True}[kind]


def lacks(document, schema, value, where="answer"):
    """What an answer has not that its schema says is always there, or has of another type."""
    if "$ref" in schema:
        return lacks(document, document["components"]["schemas"][schema["$ref"].rpartition("/")[2]], value, where)
    if "anyOf" in schema:
        return [] if value is None else lacks(document, schema["anyOf"][0], value, where)
    kinds = schema.get("type")
    if kinds is None:
        return []
    kinds = kinds if isinstance(kinds, list) else [kinds]
    types = {"string": str, "integer": int, "boolean": bool, "object": dict, "array": list, "null": type(None)}
    if not any(isinstance(value, types[k]) and not (k == "integer" and value is True) for k in kinds):
        return [f"{where}: {value!r} is no {kinds}"]
    faults = []
    if isinstance(value, dict):
        faults += [f"{where}.{name} is not there" for name in schema.get("required", ()) if name not in value]
        for name, member in schema.get("properties", {}).items():
            if name in value:
                faults += lacks(document, member, value[name], f"{where}.{name}")
    if isinstance(value, list):
        for i, element in enumerate(value):
            faults += lacks(document, schema["items"], element, f"{where}[{i}]")
    return faults
