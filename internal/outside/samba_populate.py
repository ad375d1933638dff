# Fills the new domain of a Samba AD DC that does not run yet, for samba.go:
#
#   samba_populate.py SMB.CONF SAM.LDB BASE_DN PASSWORD SERVICE_PASSWORD
#
# What it writes is what a directory can be awkward with; each person is called
# what they are there for, where they are not one of the demo's.
import os
import sys
import time

import ldb
from samba.auth import system_session
from samba.dcerpc import security
from samba.ndr import ndr_pack, ndr_unpack
from samba.param import LoadParm
from samba.samdb import SamDB
from samba.sd_utils import SDUtils

conf, path, base, password, service_password = sys.argv[1:6]
lp = LoadParm()
lp.load(conf)
db = SamDB(url=path, session_info=system_session(), lp=lp)
realm = lp.get("realm").lower()

# 100 ns since 1601, in the past.
LONG_AGO = "132000000000000000"
# Lets pwdLastSet be written as it comes (DSDB_CONTROL_PASSWORD_HASH_VALUES_OID's
# neighbour "bypass last set"): only the local database knows it.
BYPASS_LAST_SET = ["local_oid:1.3.6.1.4.1.7165.4.3.20:1"]
SECURITY, DISTRIBUTION = "-2147483646", "2"


def quoted(text):
    return ('"%s"' % text).encode("utf-16-le")


def below(parent, value, kind="CN"):
    """A DN whose first value is any text at all."""
    dn = ldb.Dn(db, "%s=x" % kind)
    dn.add_base(ldb.Dn(db, "%s,%s" % (parent, base) if parent else base))
    dn.set_component(0, kind, value)
    return dn


def change(dn, flag, controls=None, **values):
    m = ldb.Message(dn)
    for name, value in values.items():
        name = name.replace("_", "-")
        m[name] = ldb.MessageElement(value, flag, name)
    db.modify(m, controls=controls)


def person(account, cn=None, ou="OU=People", secret=password, upn=None, **values):
    dn = below(ou, cn or account)
    m = {"dn": dn, "objectClass": "user", "sAMAccountName": account, "unicodePwd": quoted(secret),
         "userAccountControl": "512", "userPrincipalName": upn or "%s@%s" % (account, realm)}
    m.update(values)
    db.add(m)
    return dn


def group(name, *members, cn=None, ou="OU=Groups", kind=SECURITY):
    dn = below(ou, cn or name)
    m = {"dn": dn, "objectClass": "group", "sAMAccountName": name, "groupType": kind}
    if members:
        m["member"] = [str(x) for x in members]
    db.add(m)
    return dn


def aged(dn, ticks=None, days=10):
    """Somebody whose password was set ten days ago, or then."""
    ticks = ticks or str(int((time.time() - days * 86400 + 11644473600) * 1e7))
    change(dn, ldb.FLAG_MOD_REPLACE, BYPASS_LAST_SET, pwdLastSet=ticks)


def policy():
    # Locked until somebody unlocks; no password may be changed within a day.
    change(ldb.Dn(db, base), ldb.FLAG_MOD_REPLACE, lockoutThreshold="5", lockoutDuration="-9223372036854775808",
           lockOutObservationWindow="-18000000000", minPwdAge="-864000000000", maxPwdAge="-36288000000000", minPwdLength="12")


def units():
    for name in ("People", "Groups", "Elsewhere", "Service"):
        db.add({"dn": below("", name, "OU"), "objectClass": "organizationalUnit"})


def states():
    person("grace", userAccountControl="514")
    aged(person("erin"), LONG_AGO)
    aged(person("erin-changes"), LONG_AGO)
    person("must-change", pwdLastSet="0")
    person("must-change-too", pwdLastSet="0")
    person("must-change-unasked", pwdLastSet="0")  # whose password nobody guesses at
    person("gone", accountExpires=LONG_AGO)
    person("nights", logonHours=b"\0" * 21)
    person("workstation", userWorkstations="WS1")
    person("smart-card", userAccountControl=str(512 | 0x40000))
    person("never-expires", userAccountControl=str(512 | 0x10000))
    disabled_and_expired = person("disabled-expired", userAccountControl="514")
    aged(disabled_and_expired, LONG_AGO)
    # These are locked by the test, with wrong passwords.
    person("frank")
    person("frank-later")
    for name in ("changes", "guesses", "racer", "leaver", "renamed", "reused", "too-young", "throttled"):
        dn = person(name)
        if name != "too-young":
            aged(dn)


def names():
    person("upn-differs", upn="someone.else@%s" % realm)
    person("victim", upn="victim.official@%s" % realm)
    person("impostor")  # see clash
    # The UPN of one is the bare account of the other.
    person("short", upn="short.official@%s" % realm)
    person("imitator")  # see clash
    person("dan", mail="shared@%s" % realm)
    person("henry", mail="shared@%s" % realm)


def clash():
    """Some people's UPNs become what others are called. This Samba refuses that,
    old domains have it: hence below the modules that refuse."""
    file = os.path.join(os.path.dirname(path), "sam.ldb.d", base.upper() + ".ldb")
    raw = ldb.Ldb(file, options=["modules:"])
    for account, upn in (("impostor", "victim@%s" % realm), ("imitator", "short")):
        m = ldb.Message(ldb.Dn(raw, str(below("OU=People", account))))
        m["userPrincipalName"] = ldb.MessageElement(upn, ldb.FLAG_MOD_REPLACE, "userPrincipalName")
        raw.modify(m)


def groups():
    alice = person("alice", displayName="Alice Ng", mail="alice@%s" % realm, department="Über Payments",
                   employeeNumber="4711", otherTelephone=["1", "2"], jpegPhoto=b"\xff\xd8\xff\x00")
    bob = person("bob")
    team = group("team", alice)
    dept = group("dept", team)
    org = group("org", dept)
    change(team, ldb.FLAG_MOD_ADD, member=str(org))  # a cycle
    group("newsletter", alice, kind=DISTRIBUTION)
    list_of_lists = group("all-hands", team, kind=DISTRIBUTION)
    group("behind-a-list", list_of_lists)  # not nested: a list gives nothing
    # The same CN in a place that grants nothing.
    group("team-elsewhere", bob, cn="team", ou="OU=Elsewhere")
    primary = group("primary", bob)
    group("over-primary", primary)
    rid = db.search(primary, scope=ldb.SCOPE_BASE, attrs=["primaryGroupToken"])[0]["primaryGroupToken"][0]
    change(bob, ldb.FLAG_MOD_REPLACE, primaryGroupID=rid)


def odd():
    zoe = person("zoë", cn='Zoë "Zo" O\'Brien, PhD #1 + <x=y>; (a*b) \\c')
    strange = group("strange", zoe, cn='#AWS, "prod" + \\ (ö)')
    group("over-strange", strange)
    person("spaces", cn=" leading and trailing ")


def many():
    carol = person("carol")
    for i in range(300):
        group("many-%03d" % i, carol)
    deep = person("deep")
    below_it = deep
    for i in range(15):
        below_it = group("deep-%02d" % i, below_it)


def service():
    person("gatehouse", ou="OU=Service", secret=service_password, userAccountControl=str(512 | 0x10000))
    powerful = person("powerful", ou="OU=Service", secret=service_password)
    change(ldb.Dn(db, "CN=Domain Admins,CN=Users,%s" % base), ldb.FLAG_MOD_ADD, member=str(powerful))
    aged(person("expiring", ou="OU=Service", secret=service_password), days=38)


def hidden():
    """Somebody whose tokenGroups the service account may not read, as it is with
    administrators of many domains."""
    dn = person("hidden", ou="OU=Elsewhere")
    change(below("OU=Groups", "team"), ldb.FLAG_MOD_ADD, member=str(dn))
    reader = db.search(below("OU=Service", "gatehouse"), scope=ldb.SCOPE_BASE, attrs=["objectSid"])[0]["objectSid"][0]
    token_groups = "b7c69e6d-2cc7-11d2-854e-00a0c983f608"  # its schemaIDGUID
    SDUtils(db).dacl_add_ace(dn, "(OD;;RP;%s;;%s)" % (token_groups, ndr_unpack(security.dom_sid, reader)))


def fine_grained():
    """A stricter lock-out for one group, which the domain's own does not tell."""
    strict = group("strict", person("strictly"))
    dn = ldb.Dn(db, "CN=strict,CN=Password Settings Container,CN=System,%s" % base)
    db.add({"dn": dn, "objectClass": "msDS-PasswordSettings", "msDS-PasswordSettingsPrecedence": "10",
            "msDS-PasswordReversibleEncryptionEnabled": "FALSE", "msDS-PasswordHistoryLength": "24",
            "msDS-PasswordComplexityEnabled": "TRUE", "msDS-MinimumPasswordLength": "12",
            "msDS-MinimumPasswordAge": "0", "msDS-MaximumPasswordAge": "-2592000000000",
            "msDS-LockoutThreshold": "3", "msDS-LockoutObservationWindow": "-36000000000",
            "msDS-LockoutDuration": "-36000000000", "msDS-PSOAppliesTo": str(strict)})


def trusts():
    """What a trust leaves in the directory; there is nobody at its other end."""
    for partner, flat, attributes, sid in (("partner.example.net", "PARTNER", "8", "S-1-5-21-1-2-3"), ("old.example.net", "OLD", "4", "S-1-5-21-4-5-6")):
        db.add({"dn": below("CN=System", partner), "objectClass": "trustedDomain", "trustPartner": partner, "flatName": flat,
                "trustDirection": "2", "trustType": "2", "trustAttributes": attributes, "securityIdentifier": ndr_pack(security.dom_sid(sid))})


db.transaction_start()
for fill in (units, policy, service, states, names, groups, odd, many, hidden, fine_grained, trusts):
    fill()
db.transaction_commit()
clash()
