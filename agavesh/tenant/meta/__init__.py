"""The meta service's insides: documents, the queries that find them, the schemas they follow."""
