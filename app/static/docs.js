// No validatorUrl: the page works offline, and tells nobody of itself.
SwaggerUIBundle({ url: "openapi.json", dom_id: "#swagger-ui", deepLinking: true, validatorUrl: null });
