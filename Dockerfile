# The server with the demo inside, in an image without shell or package manager.
#   docker build -t madang .
#   docker run --rm --network host madang serve --dev

FROM node:22-bookworm-slim AS demo
WORKDIR /src/sdk-js
COPY sdk-js ./
RUN npm ci --no-audit --no-fund \
    && npm run build -w @madang/client \
    && npm run build -w @madang/demo

FROM rust:1.95-bookworm AS server
WORKDIR /src
COPY Cargo.toml Cargo.lock ./
COPY sfu-core sfu-core
COPY sfu-signal sfu-signal
COPY sfu-bin sfu-bin
COPY load-tests load-tests
COPY vendor vendor
COPY --from=demo /src/sdk-js/demo/dist sdk-js/demo/dist
RUN cargo build --locked --release -p sfu-bin

FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=server /src/target/release/madang /usr/local/bin/madang
EXPOSE 7880/tcp 7881/tcp 7882/udp 7879/tcp
ENTRYPOINT ["/usr/local/bin/madang"]
CMD ["serve"]
