/* Between entity.c and entity_derive.c: documents alone, without what is derived from them. */
#ifndef LEDGER_ENTITY_IN_H
#define LEDGER_ENTITY_IN_H

#include "ledger/entity.h"

int entity_tenant_document(struct db_txn *txn, const struct entity_tenant *tenant) MUST_CHECK;
int entity_member_document(struct db_txn *txn, const struct entity_member *member) MUST_CHECK;
int entity_project_document(struct db_txn *txn, const struct entity_project *project) MUST_CHECK;
int entity_key_document(struct db_txn *txn, const struct entity_key *key) MUST_CHECK;

#endif
