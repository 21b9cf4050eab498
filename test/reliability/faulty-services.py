# Services of a network namespace that its maker has prepared: the instance metadata service (each request gets the next of
# the given answers, the last one again and again), a name server that refuses or says nothing, and a server of one file.
# They answer in the background; the program becomes the command that follows the first argument, which says in JSON what to do.
import http.server, json, os, socket, sys, threading, time

plan = json.loads(sys.argv[1])


class Metadata(http.server.BaseHTTPRequestHandler):
    requests = 0

    def do_GET(self):
        answers = plan['metadata']
        answer = answers[min(Metadata.requests, len(answers) - 1)]
        Metadata.requests += 1
        with open(plan['log'], 'a') as log:
            log.write('%s %s\n' % (self.headers.get('Metadata'), self.path))
        time.sleep(answer.get('delay', 0))
        body = answer.get('body', '').encode() * answer.get('times', 1)
        self.send_response(answer['status'])
        for name, value in answer.get('headers', {}).items():
            self.send_header(name, value)
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words):
        pass


class File(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header('Content-Length', str(plan['bytes']))
        self.end_headers()
        self.wfile.write(b'x' * plan['bytes'])

    def log_message(self, *words):
        pass


def answer_names(names):
    while True:
        query, client = names.recvfrom(4096)
        if plan['names'] == 'silent':
            continue
        code = {'unknown': 3, 'failed': 2, 'refused': 5}[plan['names']]
        names.sendto(query[:2] + bytes([0x81, 0x80 | code]) + query[4:6] + b'\0' * 6 + query[12:], client)


services = []
if 'metadata' in plan:
    server = http.server.ThreadingHTTPServer(('169.254.169.254', 80), Metadata)
    services.append(server.serve_forever)
if 'bytes' in plan:
    services.append(http.server.ThreadingHTTPServer(('127.0.0.1', 80), File).serve_forever)
if 'names' in plan:
    names = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    names.bind(('127.0.0.53', 53))
    services.append(lambda: answer_names(names))
if services and os.fork() == 0:
    # It goes when the command's network goes, which its maker ends by its pid.
    with open(plan['pid'], 'w') as file:
        file.write(str(os.getpid()))
    for service in services[1:]:
        threading.Thread(target=service, daemon=True).start()
    services[0]()
os.execvp(sys.argv[2], sys.argv[2:])
