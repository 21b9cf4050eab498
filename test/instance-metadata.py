# The instance metadata service of a machine that has none: listens on its address (in a network namespace, which the
# caller has made), answers in the background, and becomes the command that its arguments say.
import http.server, json, os, sys

ANSWERS = {
    '/metadata/instance/compute': {'vmId': '1-2-3', 'name': 'probe-vm', 'location': 'westeurope', 'tagsList': []},
    '/metadata/identity/oauth2/token': {'access_token': 'canary.token.value', 'expires_in': '3600'},
}


class Handler(http.server.BaseHTTPRequestHandler):
    busy = True

    def do_GET(self):
        answer = ANSWERS.get(self.path.split('?')[0])
        if self.headers.get('Metadata') != 'true' or answer is None:
            self.send_error(400)
        elif Handler.busy:
            # The first request of all finds the service being updated.
            Handler.busy = False
            self.send_error(503)
        else:
            body = json.dumps(answer).encode()
            self.send_response(200)
            self.send_header('Content-Type', 'application/json')
            self.send_header('Content-Length', str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, *words):
        pass


server = http.server.ThreadingHTTPServer(('169.254.169.254', 80), Handler)
if os.fork() == 0:
    server.serve_forever()
os.execvp(sys.argv[1], sys.argv[1:])
