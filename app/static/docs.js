// No validatorUrl: the page works offline and sends nothing to other hosts.
SwaggerUIBundle({ url: "openapi.json", dom_id: "#swagger-ui", deepLinking: true, validatorUrl: null });
