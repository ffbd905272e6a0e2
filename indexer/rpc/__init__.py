"""The node's side: JSON-RPC over HTTP and WebSocket, with endpoints that are never trusted."""
