# Sources run as they are: no build step, no dist.
FROM node:22-bookworm-slim
ENV NODE_ENV=production HOST=0.0.0.0 DATA_DIR=/data
WORKDIR /app
COPY package.json package-lock.json ./
# The image's own Node 22 runs the service; the pinned one is a development dependency.
RUN npm ci --omit=dev --ignore-scripts && npm cache clean --force
COPY scripts ./scripts
COPY src ./src
RUN node scripts/check-node.cjs && mkdir /data && chown node:node /data
USER node
VOLUME /data
EXPOSE 8080 8081
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=3s --start-period=15s \
  CMD ["node", "-e", "fetch('http://127.0.0.1:8080/health/readiness').then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
CMD ["node", "src/main.ts"]
