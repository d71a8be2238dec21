"""HTTP basics: request bodies, responses, problem documents, instrumentation."""
