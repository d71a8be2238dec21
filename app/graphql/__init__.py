"""GraphQL over HTTP: execution, query limits, errors, Relay connections, views.

The path of a request: ``views`` parses it; ``execution.prepare`` parses, limits and validates its
document, with caching; ``execution.execute`` runs the resolvers, for which ``relay`` validates
arguments and builds connections; ``errors`` gives each error its code.
"""
