"""The auth service: its use cases, one method each. contract.py says what they promise."""

from auth_svc import passwords
from auth_svc.contract import BadCredentials, Contact, Login, Role, User
from auth_svc.dependencies import StoresProvider
from auth_svc.users import UserDocument, as_user
from rabbitmq.entrypoints import rpc


class AuthService:
    name = "auth_svc"

    stores = StoresProvider()

    @rpc(sensitive_arguments="password")
    def register(self, email: str, password: str, name: str, device: str) -> Login:
        user = self.stores.users.add(email, name, passwords.hash_password(password), ["customer"])
        return self._begin_session(user, device)

    @rpc(sensitive_arguments="password")
    def login(self, email: str, password: str, device: str) -> Login:
        user = self.stores.users.with_email(email)
        if not passwords.verify(password, user and user["password_hash"]) or user is None:
            raise BadCredentials
        return self._begin_session(user, device)

    @rpc(sensitive_arguments="refresh_id")
    def refresh(self, session_id: str, refresh_id: str) -> Login:
        user_id, session = self.stores.sessions.rotate(session_id, refresh_id)
        return Login(user=as_user(self.stores.users.get(user_id)), session=session)

    @rpc
    def logout(self, session_id: str) -> None:
        self.stores.sessions.end(session_id)

    @rpc
    def get_profile(self, user_id: str) -> User:
        return as_user(self.stores.users.get(user_id))

    @rpc
    def update_profile(self, user_id: str, name: str) -> User:
        return as_user(self.stores.users.rename(user_id, name))

    @rpc
    def set_roles(self, user_id: str, roles: list[Role]) -> User:
        user = self.stores.users.set_roles(user_id, roles)
        self.stores.sessions.end_all(user_id)
        return as_user(user)

    @rpc
    def get_contact(self, user_id: str) -> Contact:
        user = self.stores.users.get(user_id)
        return Contact(email=user["email"], name=user["name"])

    @rpc
    def ping(self) -> dict[str, str]:
        return self.stores.ping()

    def _begin_session(self, user: UserDocument, device: str) -> Login:
        return Login(user=as_user(user), session=self.stores.sessions.begin(user["_id"], user["roles"], device))
