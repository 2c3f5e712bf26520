"""PyJWT on tokens of Catalyst: reads a case a line from standard input, and says what it makes of each."""
import json
import sys

import jwt

work = json.load(sys.stdin)
keys = {key.key_id: key for key in jwt.PyJWKSet.from_json(work["jwks"]).keys}
answers = {}
for name, token in work["tokens"].items():
    try:
        kid = jwt.get_unverified_header(token)["kid"]
        claims = jwt.decode(token, keys[kid].key, algorithms=["ES384"], audience="acme.example", issuer=work["issuer"],
                            options={"require": ["exp", "iat", "sub", "jti"]})
        answers[name] = "ok " + claims["sub"]
    except KeyError:
        answers[name] = "unknown key"
    except jwt.PyJWTError as error:
        answers[name] = type(error).__name__
made = jwt.encode(work["claims"], work["private"], algorithm="ES384", headers={"kid": work["kid"], "typ": "JWT"})
more = jwt.encode(work["claims"], work["private"], algorithm="ES384", headers={"kid": work["kid"], "crit": ["exp"]})
json.dump({"answers": answers, "made": made, "crit": more}, sys.stdout)
